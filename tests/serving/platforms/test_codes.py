"""Codes are unique, not to be guessed, the same for the same export, and never in a message."""

import math
import os
import re
import stat
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from datetime import date

import pytest

from campaigns.errors import InputError
from serving.platforms.codes import ALPHABET, KEY_VARIABLE, LENGTH, PATTERN, Codes, hide, read_key
from serving.platforms.lots import Lot, read_lots
from tests.serving.platforms.conftest import OFFERS


def lot_of(n: int) -> Lot:
    first = next(offer for offer in OFFERS if offer.name == "coupon_2")
    return Lot(first, "", date(2018, 1, 1), date(2018, 1, 28), tuple(map(str, range(n))), False)


def test_a_code_holds_at_least_80_bits_and_no_look_alikes():
    assert math.log2(len(ALPHABET)) * LENGTH >= 80
    assert len(set(ALPHABET)) == len(ALPHABET) and not set("0O1ILl2Z5S8BGUV") & set(ALPHABET)


def test_codes_are_unique_well_formed_and_spread_evenly(codes):
    found = codes.for_customers(lot_of(20_000))
    assert len(set(found)) == 20_000 and all(re.fullmatch(PATTERN, code) for code in found)
    expected = 20_000 * LENGTH / len(ALPHABET)
    counts = [sum(code.count(sign) for code in found) for sign in ALPHABET]
    chi2 = sum((count - expected) ** 2 / expected for count in counts)
    assert chi2 < 21 + 6 * math.sqrt(2 * 21)


def test_codes_change_with_the_key_the_table_the_customer_and_the_offer(codes):
    lot = lot_of(2)
    first, second = codes.for_customers(lot)
    assert Codes(codes.key, codes.table).for_customers(lot) == (first, second)
    others = [
        second,
        codes.for_all(lot),
        Codes(b"l" * 64, codes.table).for_customers(lot)[0],
        Codes(codes.key, "b" * 64).for_customers(lot)[0],
        codes.for_customers(replace(lot, offer=OFFERS[6]))[0],
    ]
    assert len({first, *others}) == len(others) + 1


def test_every_code_of_a_table_is_its_own(table, codes):
    found = [code for lot in read_lots(table) for code in (*codes.for_customers(lot), codes.for_all(lot))]
    assert len(set(found)) == len(found)


def test_a_key_is_made_once_for_its_owner_alone(tmp_path):
    path = tmp_path / "deep" / "codes.key"
    with ThreadPoolExecutor(8) as pool:
        keys = set(pool.map(lambda _: read_key(path, {}), range(16)))
    assert len(keys) == 1 and len(keys.pop()) == 64
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert os.listdir(path.parent) == ["codes.key"]


def test_the_environment_goes_before_the_file_and_must_hold_a_real_secret(tmp_path):
    path = tmp_path / "codes.key"
    assert read_key(path, {KEY_VARIABLE: "x" * 40}) == b"x" * 40
    assert not path.exists()
    with pytest.raises(InputError, match="OFFERSMITH_CODE_KEY holds a key of 5 characters; expected at least 32"):
        read_key(path, {KEY_VARIABLE: "short"})
    path.write_text("torn")
    with pytest.raises(InputError, match=r"codes.key holds a key of 4 characters"):
        read_key(path, {})


def test_neither_codes_nor_keys_are_in_messages(codes):
    code = codes.for_customers(lot_of(1))[0]
    said = hide(f"the code {code.lower()} exists, token abc123", ["abc123", ""])
    assert said == "the code [code] exists, token [secret]"
    assert "kkk" not in repr(codes) and "kkk" not in str(codes)
