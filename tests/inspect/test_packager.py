"""A NEFF and its folder are the same thing twice; what is wrong with a folder is said."""

from __future__ import annotations

import hashlib
import io
import json
import tarfile

import numpy as np
import pytest

from neff.compile import compile_module
from neff.container import write_neff
from neff.header import HEADER_SIZE, Header
from tests.inspect.files import module, run_tool


def packager(*arguments):
    return run_tool("neff.packager", *arguments)


@pytest.fixture
def folder(neff_file, tmp_path):
    made = packager("unpack", neff_file, "-o", tmp_path / "parts")
    assert made.returncode == 0, made.stderr
    return tmp_path / "parts"


def refused(folder, message):
    made = packager("pack", folder, "-o", folder.parent / "new.neff")
    assert made.returncode == 2 and made.stderr.count("\n") == 1
    assert message in made.stderr
    assert not (folder.parent / "new.neff").exists()


def test_info(neff_file):
    made = packager("info", neff_file).stdout
    data = neff_file.read_bytes()
    digest = hashlib.sha256(data[HEADER_SIZE:]).hexdigest()
    facts = dict(line.split(maxsplit=1) for line in made.splitlines()[1:19] if " " in line.strip())
    assert facts["network_name"].strip() == "model"
    assert facts["hash"].strip() == digest
    assert facts["uuid"].strip() == data[204:220].hex()
    assert facts["neuroncore_count"].strip() == "1"
    for text in ("encoder.0.weight  f32[8,16]  512 B", "sg00/PE.json", "Inputs (1, 128 B)"):
        assert text in made


def test_info_as_json(neff_file):
    value = json.loads(packager("info", neff_file, "--json").stdout)
    assert value.keys() == {
        "document", "schema", "header", "target", "inputs", "outputs", "states", "weights",
        "aliases", "streams", "functions", "regions", "memory",
    }  # fmt: skip
    assert list(value["header"])[:14] == [
        "network_name", "uuid", "hash", "enabled_features", "header_size", "data_size",
        "major_version", "minor_version", "package_version", "build_version",
        "cc_participant_count", "neuroncore_count", "logical_neuroncore_count",
        "pcore_count_per_lnc",
    ]  # fmt: skip
    assert value["weights"][0].keys() == {"name", "type", "kind", "elements", "bytes", "digest"}
    assert sum(s["instructions"] for s in value["streams"]) == 11


def test_the_header_of_a_foreign_neff(tmp_path):
    contents = b"foreign" * 100
    header = Header("foreign", hashlib.sha256(contents).digest(), len(contents), lnc_size=2)
    (tmp_path / "foreign.neff").write_bytes(header.pack() + contents)
    made = packager("info", tmp_path / "foreign.neff")
    assert "network_name              foreign\n" in made.stdout
    assert "pcore_count_per_lnc       2\n" in made.stdout
    assert made.returncode == 2 and made.stderr.count("\n") == 1


@pytest.mark.parametrize("compress", [True, False])
def test_untouched_parts_make_the_same_bytes(compress, tmp_path):
    data = write_neff(compile_module(module()).program, compress=compress).tobytes()
    (tmp_path / "a.neff").write_bytes(data)
    assert packager("unpack", tmp_path / "a.neff", "-o", tmp_path / "a").returncode == 0
    header = json.loads((tmp_path / "a" / "header.json").read_text())
    assert header["compressed"] == compress
    assert packager("pack", tmp_path / "a", "-o", tmp_path / "b.neff").returncode == 0
    assert (tmp_path / "b.neff").read_bytes() == data


def test_a_folder_that_holds_something_is_left_alone(neff_file, tmp_path):
    (tmp_path / "full").mkdir()
    (tmp_path / "full" / "mine.txt").write_text("mine")
    made = packager("unpack", neff_file, "-o", tmp_path / "full")
    assert made.returncode == 2 and "must be new or empty" in made.stderr
    assert [p.name for p in (tmp_path / "full").iterdir()] == ["mine.txt"]
    made = packager("unpack", neff_file, "-o", tmp_path / "full" / "mine.txt")
    assert made.returncode == 2 and "must be a folder" in made.stderr


@pytest.mark.parametrize("name", ["../evil", "/evil", "a/b/c", "sg00/../../evil"])
def test_no_path_leads_out_of_the_folder(name, tmp_path):
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w", format=tarfile.USTAR_FORMAT) as archive:
        entry = tarfile.TarInfo(name)
        entry.size = 4
        archive.addfile(entry, io.BytesIO(b"evil"))
    contents = out.getvalue()
    header = Header("evil", hashlib.sha256(contents).digest(), len(contents)).pack()
    (tmp_path / "evil.neff").write_bytes(header + contents)
    made = packager("unpack", tmp_path / "evil.neff", "-o", tmp_path / "in" / "parts")
    assert made.returncode == 2 and "plain files named as a NEFF names them" in made.stderr
    assert not list(tmp_path.rglob("*evil")) and not list(tmp_path.rglob("c"))


def test_an_edit_that_is_right(folder):
    header = json.loads((folder / "header.json").read_text())
    header["network_name"] = "renamed"
    (folder / "header.json").write_text(json.dumps(header))
    graph = folder / "kelf-a.json"
    graph.write_text(graph.read_text().replace('"output0"', '"probabilities"'))
    assert packager("pack", folder, "-o", folder.parent / "new.neff").returncode == 0
    value = json.loads(packager("info", folder.parent / "new.neff", "--json").stdout)
    assert value["header"]["network_name"] == "renamed"
    assert value["outputs"][0]["name"] == "probabilities"
    assert run_tool("neff", "verify", folder.parent / "new.neff").returncode == 0


def test_an_edit_that_is_wrong(folder):
    stream = folder / "sg00" / "PE.json"
    stream.write_text(stream.read_text().replace('["f32",4,16]', '["f32",4,17]'))
    refused(folder, "the shape must be f32[4,16], got f32[4,17]")


def test_weights_keep_to_their_names(folder):
    weight = next((folder / "sg00").glob("*.npy"))
    values = np.load(weight)
    values.flat[0] += 1
    np.save(weight, values)
    refused(folder, "must hold the values it is named after")


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda f: (f / "sg00" / "PE.json").unlink(), "sg00/PE.json must be in"),
        (lambda f: (f / "more.json").write_text("{}"), "must list every file, got also more.json"),
        (lambda f: (f / "header.json").unlink(), "a folder that unpack made, header.json"),
        (lambda f: (f / "header.json").write_text("{}"), "network_name is missing"),
        (lambda f: (f / "neff.json").write_text("["), "neff.json must be JSON"),
        (lambda f: (f / "neff.json").write_text('{"format":9,"files":[]}'), "got 9"),
        (
            lambda f: (f / "neff.json").write_text('{"format":2,"files":[["../x",1,""]]}'),
            "must list plain names once, got ['../x']",
        ),
        (
            lambda f: ((f / "kelf-a.json").unlink(), (f / "kelf-a.json").symlink_to("/etc/passwd")),
            "kelf-a.json must be a plain file",
        ),
    ],
)
def test_a_folder_that_is_not_right(folder, change, message):
    change(folder)
    refused(folder, message)


def test_the_folder_is_named_after_the_file(neff_file, tmp_path, monkeypatch):
    from neff.packager import main

    monkeypatch.chdir(tmp_path)
    assert main(["unpack", str(neff_file)]) == 0
    assert (tmp_path / "model" / "neff.json").is_file()
    assert main(["pack", "model"]) == 0
    assert (tmp_path / "model.neff").read_bytes() == neff_file.read_bytes()
