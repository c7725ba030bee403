import hashlib

import pytest

from migrations.files import PACKAGE, Applied, Migration, MigrationError, judge, latest, load


@pytest.fixture
def folder(tmp_path):
    folder = tmp_path / "migrations"
    folder.mkdir()
    return folder


def write(folder, *names, sql="SELECT 1"):
    for name in names:
        (folder / name).write_text(sql)


def test_files_are_read_in_number_order(folder):
    write(folder, "0002_drop_b.contract.sql", "0001_add_a.expand.sql")
    first, second = load(folder)
    assert first == Migration(
        number=1,
        name="0001_add_a",
        phase="expand",
        sql="SELECT 1",
        checksum=hashlib.sha256(b"SELECT 1").hexdigest(),
        in_transaction=True,
    )
    assert (second.number, second.phase, second.file) == (2, "contract", "0002_drop_b.contract.sql")
    assert latest(folder) == 2


def test_code_hidden_files_and_folders_are_no_migrations(folder):
    write(folder, "0001_add_a.expand.sql", "__init__.py", ".0001_add_a.expand.sql.swp")
    (folder / "__pycache__").mkdir()
    assert latest(folder) == 1


@pytest.mark.parametrize(
    "name",
    [
        "0002_add_b.sql",
        "0002_add_b.expand.SQL",
        "0002_add_b.expand.sql.orig",
        "0002_add-b.expand.sql",
        "0002_Add_b.expand.sql",
        "002_add_b.expand.sql",
        "00002_add_b.expand.sql",
        "0002.expand.sql",
        "0002_add_b.revert.sql",
        "notes.txt",
    ],
)
def test_a_file_with_another_name_is_a_fault(folder, name):
    write(folder, "0001_add_a.expand.sql", name)
    with pytest.raises(MigrationError, match=r"not NNNN_what_it_does") as refused:
        load(folder)
    assert str(refused.value).startswith(name)


@pytest.mark.parametrize(
    ("names", "blamed"),
    [
        (["0001_a.expand.sql", "0001_b.expand.sql"], r"0001_b\.expand\.sql: the next .* is 0002"),
        (["0001_a.expand.sql", "0001_b.contract.sql"], r"0001_b\.contract\.sql"),
        (["0001_a.expand.sql", "0003_b.expand.sql"], r"0003_b\.expand\.sql: the next .* is 0002"),
        (["0002_a.expand.sql"], r"0002_a\.expand\.sql: the next number is 0001"),
        (["0000_a.expand.sql"], r"0000_a\.expand\.sql: the next number is 0001"),
    ],
)
def test_numbers_are_unique_and_without_gaps(folder, names, blamed):
    write(folder, *names)
    with pytest.raises(MigrationError, match=blamed):
        load(folder)


def test_a_folder_without_migrations_is_a_fault(folder):
    with pytest.raises(MigrationError, match="install this release again"):
        load(folder)
    with pytest.raises(MigrationError, match="install this release again"):
        load(folder / "absent")


def test_the_first_line_takes_a_file_out_of_the_transaction(folder):
    sql = "-- migrate: no-transaction\nCREATE INDEX CONCURRENTLY IF NOT EXISTS a_b_idx ON a (b)"
    write(folder, "0001_index_a.expand.sql", sql=sql)
    assert not load(folder)[0].in_transaction


@pytest.mark.parametrize(
    ("sql", "said"),
    [
        ("-- migrate: no_transaction\nVACUUM", "only directive"),
        ("-- Why.\n-- migrate: no-transaction\nVACUUM", "only directive"),
        ("-- migrate: no-transaction\n-- migrate: no-transaction\nVACUUM", "only directive"),
        ("BEGIN;\nSELECT 1;\nCOMMIT;", "take out 'BEGIN;'"),
        ("SELECT 1;\n  start transaction;", "take out 'start transaction;'"),
        ("-- migrate: no-transaction\nDROP INDEX CONCURRENTLY a_b_idx", "repeatable"),
    ],
)
def test_a_file_that_could_not_be_run_safely_is_a_fault(folder, sql, said):
    write(folder, "0001_add_a.expand.sql", sql=sql)
    with pytest.raises(MigrationError, match=rf"0001_add_a\.expand\.sql: .*{said}"):
        load(folder)


def test_a_function_body_may_begin_and_end(folder):
    sql = "CREATE FUNCTION f() RETURNS void LANGUAGE plpgsql AS $$\nBEGIN\n  NULL;\nEND;\n$$"
    write(folder, "0001_add_f.expand.sql", sql=sql)
    assert load(folder)[0].sql == sql


def test_a_file_that_is_not_utf_8_is_a_fault(folder):
    (folder / "0001_add_a.expand.sql").write_bytes(b"SELECT '\xff'")
    with pytest.raises(MigrationError, match=r"0001_add_a\.expand\.sql: not UTF-8"):
        load(folder)


def test_the_release_has_migrations():
    assert latest() == len(load()) == len(list(PACKAGE.glob("*.sql")))


def known(*phases):
    return [
        Migration(
            number=number,
            name=f"{number:04d}_x",
            phase=phase,
            sql="",
            checksum=f"sum {number}",
            in_transaction=True,
        )
        for number, phase in enumerate(phases, start=1)
    ]


def row(number, phase, checksum=None):
    return Applied(number=number, phase=phase, checksum=checksum or f"sum {number}")


def test_an_empty_database_lacks_every_expand():
    state = judge([], known("expand", "contract", "expand"))
    assert state.missing == ("0001_x.expand.sql", "0003_x.expand.sql")
    assert not state.fits


def test_the_own_schema_fits():
    assert judge([row(2, "contract"), row(1, "expand")], known("expand", "contract")).fits


def test_own_contracts_that_still_wait_are_fine():
    assert judge([row(1, "expand"), row(3, "expand")], known("expand", "contract", "expand")).fits


def test_expands_of_a_newer_release_are_fine():
    assert judge([row(1, "expand"), row(2, "expand"), row(3, "expand")], known("expand")).fits


def test_contracts_of_a_newer_release_are_too_much():
    applied = [row(4, "contract"), row(1, "expand"), row(2, "contract"), row(3, "expand")]
    state = judge(applied, known("expand"))
    assert state.contracted_beyond == (2, 4)
    assert not state.fits


def test_another_content_or_phase_under_a_number_is_an_edit():
    applied = [row(1, "expand", "another sum"), row(2, "expand"), row(3, "expand")]
    state = judge(applied, known("expand", "contract", "expand"))
    assert state.edited == ("0001_x.expand.sql", "0002_x.contract.sql")
    assert not state.fits
