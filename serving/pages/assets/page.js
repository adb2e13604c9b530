// The chart and its slider, what is read aloud when a part of the page changes, and signatures made with a key that never leaves the browser. All else works without this.
"use strict";

(() => {
  const chart = document.getElementById("curve");
  const slider = document.getElementById("step");

  function colour(name) {
    return getComputedStyle(document.documentElement).getPropertyValue(name).trim();
  }

  function option(curve, chosen, format) {
    const points = (values) => values.map((value, i) => [curve.budget[i], value]);
    const line = (name, data, more) => ({
      type: "line", name, data, silent: true, animation: false, symbol: "none", ...more,
    });
    const ink = colour("--soft"), faint = colour("--line"), main = colour("--series-1"), mark = colour("--series-2");
    const axis = {
      type: "value", nameTextStyle: { color: ink, fontSize: 13 }, axisLabel: { color: ink, formatter: format },
      axisLine: { lineStyle: { color: ink } }, splitLine: { lineStyle: { color: faint } },
    };
    return {
      animation: false,
      textStyle: { fontFamily: getComputedStyle(document.body).fontFamily },
      grid: { left: 12, right: 24, top: 40, bottom: 34, containLabel: true },
      xAxis: { ...axis, name: curve.x, nameLocation: "middle", nameGap: 30, min: 0, max: curve.budget.at(-1), splitNumber: 4, splitLine: { show: false },
        axisLabel: { color: ink, formatter: format, showMaxLabel: false },
      },
      yAxis: { ...axis, name: curve.y, nameLocation: "end", nameGap: 16, nameTextStyle: { color: ink, fontSize: 13, align: "left" } },
      series: [
        // A band is what lies between two stacked lines, the second of which is the width of the interval.
        line("lo", points(curve.lo), { stack: "band", stackStrategy: "all", lineStyle: { opacity: 0 } }),
        line("band", points(curve.hi.map((hi, i) => hi - curve.lo[i])), {
          stack: "band", stackStrategy: "all", lineStyle: { opacity: 0 }, areaStyle: { color: main, opacity: 0.2 },
        }),
        line("uplift", points(curve.uplift), { lineStyle: { color: main, width: 2.5 }, symbol: "circle", symbolSize: 6, showSymbol: true, itemStyle: { color: main } }),
        line("published", [[curve.budget[curve.published], curve.uplift[curve.published]]], {
          symbol: "diamond", symbolSize: 13, showSymbol: true, itemStyle: { color: ink },
        }),
        line("chosen", [[curve.budget[chosen], curve.uplift[chosen]]], {
          symbol: "circle", symbolSize: 15, showSymbol: true, itemStyle: { color: mark },
        }),
        line("interval", [[curve.budget[chosen], curve.lo[chosen]], [curve.budget[chosen], curve.hi[chosen]]], { lineStyle: { color: mark, width: 2 } }),
      ],
    };
  }

  if (chart && slider && window.echarts) {
    const curve = JSON.parse(chart.dataset.curve);
    const numbers = new Intl.NumberFormat(document.documentElement.lang, { maximumFractionDigits: 2 });
    const drawn = window.echarts.init(chart, null, { renderer: "canvas" });
    const draw = () => {
      const chosen = Number(slider.value);
      slider.setAttribute("aria-valuetext", curve.says[chosen]);
      drawn.setOption(option(curve, chosen, (value) => numbers.format(value)), true);
    };
    slider.addEventListener("input", draw);
    new ResizeObserver(() => drawn.resize()).observe(chart);
    window.matchMedia("(prefers-color-scheme: dark)").addEventListener("change", draw);
    draw();
    chart.dataset.drawn = "yes";
  }

  document.body.addEventListener("htmx:afterSwap", () => {
    const told = [...document.querySelectorAll("main [data-says]")];
    document.getElementById("live").textContent = told.map((one) => one.textContent).join(" ");
  });

  function bytes(hex) {
    return Uint8Array.from(hex.match(/../g) || [], (pair) => parseInt(pair, 16));
  }

  function privateKey(pem) {
    const found = /-----BEGIN PRIVATE KEY-----([A-Za-z0-9+/=\s]+)-----END PRIVATE KEY-----/.exec(pem);
    if (!found) throw new Error("no key");
    const raw = Uint8Array.from(atob(found[1].replace(/\s/g, "")), (letter) => letter.charCodeAt(0));
    return crypto.subtle.importKey("pkcs8", raw, { name: "Ed25519" }, false, ["sign"]);
  }

  async function sign(form) {
    const text = new TextEncoder().encode(`${form.dataset.context}\0${form.elements.act.value}\n`);
    let key;
    try {
      key = await privateKey(await form.querySelector("input[type=file]").files[0].text());
    } catch {
      throw new Error(form.dataset.noKey);
    }
    const made = await crypto.subtle.sign({ name: "Ed25519" }, key, text);
    const known = await crypto.subtle.importKey("raw", bytes(form.dataset.public), { name: "Ed25519" }, false, ["verify"]);
    if (!(await crypto.subtle.verify({ name: "Ed25519" }, known, made, text))) throw new Error(form.dataset.otherKey);
    return Array.from(new Uint8Array(made), (byte) => byte.toString(16).padStart(2, "0")).join("");
  }

  async function able() {
    try {
      await crypto.subtle.generateKey({ name: "Ed25519" }, false, ["sign", "verify"]);
      return true;
    } catch {
      return false; // an old browser, or an address that is neither of this machine nor encrypted
    }
  }

  for (const form of document.querySelectorAll("form[data-sign]")) {
    const button = form.querySelector("button"), trouble = form.querySelector(".trouble");
    const say = (text) => {
      trouble.textContent = text;
      trouble.hidden = !text;
    };
    able().then((can) => (can ? (button.disabled = false) : say(form.dataset.notHere)));
    form.addEventListener("submit", async (event) => {
      if (form.elements.signature.value) return;
      event.preventDefault();
      button.disabled = true;
      say("");
      try {
        form.elements.signature.value = await sign(form);
        form.submit();
      } catch (error) {
        say(error.message);
        button.disabled = false;
      }
    });
  }
})();
