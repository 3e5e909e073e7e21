"""Downloads against a local server that misbehaves in every way a real one does, and archives that try to break out."""

import hashlib
import http.server
import io
import tarfile
import threading
import zipfile

import pytest

from nbsupport.core.errors import ConfigError, UserError
from nbsupport.data import archives, fetch

CONTENT = bytes(range(256)) * 4000  # about a megabyte
SHA = hashlib.sha256(CONTENT).hexdigest()


class Handler(http.server.BaseHTTPRequestHandler):
    """/whole: ranges are honoured; /cut: the first answers break off; /norange: ranges are ignored; /busy: 503 once."""

    def do_GET(self):
        server = self.server
        server.requests.append((self.path, self.headers.get("Range")))
        name = self.path.strip("/")
        if name == "missing":
            return self.send_error(404)
        if name == "busy" and len(server.requests) == 1:
            return self.send_error(503)
        body = server.files.get(name, CONTENT)
        start = 0
        if (wanted := self.headers.get("Range")) and name != "norange":
            start = int(wanted.removeprefix("bytes=").rstrip("-"))
            if start >= len(body):
                self.send_response(416)
                self.send_header("Content-Range", f"bytes */{len(body)}")
                self.send_header("Content-Length", "0")
                return self.end_headers()
            self.send_response(206)
        else:
            self.send_response(200)
        self.send_header("Content-Length", str(len(body) - start))
        self.end_headers()
        stop = len(body)
        if name in ("cut", "norange") and len(server.requests) < 3:
            stop = start + 300_000
        self.wfile.write(body[start:stop])

    def log_message(self, *_):
        pass


class Server(http.server.ThreadingHTTPServer):
    def handle_error(self, request, client_address):
        """A client that hangs up is part of the tests."""


@pytest.fixture
def server():
    instance = Server(("127.0.0.1", 0), Handler)
    instance.requests, instance.files = [], {}
    threading.Thread(target=instance.serve_forever, args=(0.02,), daemon=True).start()
    instance.url = f"http://127.0.0.1:{instance.server_port}"
    yield instance
    instance.shutdown()
    instance.server_close()


def get(server, path, name="whole", **options):
    return fetch.download(f"{server.url}/{name}", path, pause=0.01, **options)


def test_a_download_is_verified_and_not_repeated(server, tmp_path):
    path = get(server, tmp_path / "a.bin", size=len(CONTENT), sha256=SHA)
    assert path.read_bytes() == CONTENT
    get(server, path, sha256=SHA)
    assert len(server.requests) == 1
    assert not list(tmp_path.glob("*.part"))


def test_a_broken_connection_is_resumed_where_it_broke(server, tmp_path):
    assert get(server, tmp_path / "a.bin", "cut", sha256=SHA).read_bytes() == CONTENT
    starts = [int(wanted.removeprefix("bytes=").rstrip("-")) if wanted else 0 for _, wanted in server.requests]
    assert len(starts) == 3 and starts[0] == 0
    assert starts[1] > 200_000 and starts[2] > starts[1] + 200_000  # at most one chunk is lost each time


def test_a_later_call_goes_on_with_the_part(server, tmp_path):
    (tmp_path / "a.bin.part").write_bytes(CONTENT[:5000])
    get(server, tmp_path / "a.bin", sha256=SHA)
    assert server.requests == [("/whole", "bytes=5000-")]


def test_a_part_that_is_already_whole_is_taken(server, tmp_path):
    (tmp_path / "a.bin.part").write_bytes(CONTENT)
    assert get(server, tmp_path / "a.bin", sha256=SHA).read_bytes() == CONTENT


def test_a_server_without_ranges_sends_it_all_again(server, tmp_path):
    assert get(server, tmp_path / "a.bin", "norange", sha256=SHA).read_bytes() == CONTENT


def test_a_busy_server_is_asked_again(server, tmp_path):
    assert get(server, tmp_path / "a.bin", "busy").read_bytes() == CONTENT
    assert len(server.requests) == 2


@pytest.mark.parametrize("wrong", [{"sha256": "0" * 64}, {"md5": "0" * 32}, {"size": 5}, {"size": len(CONTENT) + 1}])
def test_what_is_not_as_it_should_be_is_refused(server, tmp_path, wrong):
    with pytest.raises(UserError, match="refused"):
        get(server, tmp_path / "a.bin", **wrong)
    assert not list(tmp_path.iterdir())


def test_a_wrong_file_in_its_place_is_not_overwritten(server, tmp_path):
    (tmp_path / "a.bin").write_text("something of mine")
    with pytest.raises(UserError, match="Move it away"):
        get(server, tmp_path / "a.bin", sha256=SHA)
    assert (tmp_path / "a.bin").read_text() == "something of mine"


def test_errors_say_what_the_server_said(server, tmp_path):
    with pytest.raises(UserError, match="404"):
        get(server, tmp_path / "a.bin", "missing")
    with pytest.raises(UserError, match="broke off 2 times"):
        fetch.download("http://127.0.0.1:9/nobody", tmp_path / "a.bin", attempts=2, pause=0.01)


def test_a_connection_that_stays_broken_keeps_what_came(server, tmp_path):
    with pytest.raises(UserError, match="bytes are kept"):
        get(server, tmp_path / "a.bin", "cut", attempts=1)
    kept = (tmp_path / "a.bin.part").read_bytes()
    assert len(kept) > 200_000 and CONTENT.startswith(kept)


def test_a_full_disk_is_said_before_anything_is_written(server, tmp_path, monkeypatch):
    monkeypatch.setattr(fetch.shutil, "disk_usage", lambda _: type("Usage", (), {"free": 10})())
    with pytest.raises(UserError, match="Make room"):
        get(server, tmp_path / "a.bin")


def tar_of(path, entries):
    with tarfile.open(path, "w:gz") as tar:
        for name, content, kind, link in entries:
            info = tarfile.TarInfo(name)
            info.type, info.linkname = kind, link
            info.size = len(content)
            tar.addfile(info, io.BytesIO(content))
    return path


FILE, SYMLINK, HARDLINK, DEVICE = tarfile.REGTYPE, tarfile.SYMTYPE, tarfile.LNKTYPE, tarfile.CHRTYPE


@pytest.mark.parametrize(
    "entry",
    [
        ("/tmp/evil.txt", b"x", FILE, ""),
        ("../evil.txt", b"x", FILE, ""),
        ("a/../../evil.txt", b"x", FILE, ""),
        ("link", b"", SYMLINK, "/etc/passwd"),
        ("a/link", b"", SYMLINK, "../../evil"),
        ("hard", b"", HARDLINK, "../evil"),
        ("device", b"", DEVICE, ""),
    ],
)
def test_an_archive_that_reaches_out_is_refused_whole(tmp_path, entry):
    archive = tar_of(tmp_path / "bad.tgz", [("good/file.txt", b"fine", FILE, ""), entry])
    with pytest.raises(UserError, match="refused"):
        archives.extract(archive, tmp_path / "inside" / "target")
    assert not list((tmp_path / "inside" / "target").iterdir())
    assert {p.name for p in tmp_path.iterdir()} == {"bad.tgz", "inside"}


def test_writing_through_a_link_is_refused(tmp_path):
    entries = [("a/b/up", b"", SYMLINK, "../.."), ("a/b/up/evil.txt", b"x", FILE, "")]
    with pytest.raises(UserError, match="through a link"):
        archives.extract(tar_of(tmp_path / "bad.tgz", entries), tmp_path / "target")
    assert not list((tmp_path / "target").iterdir())


def test_a_zip_that_reaches_out_is_refused(tmp_path):
    with zipfile.ZipFile(tmp_path / "bad.zip", "w") as archive:
        archive.writestr("../evil.txt", "x")
    with pytest.raises(UserError, match="outside"):
        archives.extract(tmp_path / "bad.zip", tmp_path / "target")


def test_bombs_truncated_and_foreign_files_are_refused(tmp_path):
    archive = tar_of(tmp_path / "big.tgz", [("zeros", bytes(100_000), FILE, "")])
    with pytest.raises(UserError, match="larger than"):
        archives.extract(archive, tmp_path / "target", max_bytes=50_000)
    noise = hashlib.shake_128(b"noise").digest(200_000)  # does not compress, so that half the file is half the data
    whole = tar_of(tmp_path / "whole.tgz", [("noise", noise, FILE, "")]).read_bytes()
    (tmp_path / "half.tgz").write_bytes(whole[: len(whole) // 2])
    (tmp_path / "spoilt.tgz").write_bytes(whole[:60_000] + bytes(1000) + whole[61_000:])
    (tmp_path / "text.tgz").write_text("not an archive")
    for name in ("half.tgz", "spoilt.tgz", "text.tgz"):
        with pytest.raises(UserError, match="download it again"):
            archives.extract(tmp_path / name, tmp_path / "target")
    assert not list((tmp_path / "target").iterdir())


def test_links_that_stay_inside_are_fine(tmp_path):
    archive = tar_of(tmp_path / "a.tgz", [("d/file", b"text", FILE, ""), ("d/link", b"", SYMLINK, "file")])
    archives.extract(archive, tmp_path / "target")
    assert (tmp_path / "target" / "d" / "link").read_text() == "text"


def test_a_whole_set_is_fetched_once(server, tmp_path):
    server.files["images.tar.gz"] = tar_of(
        tmp_path / "i.tgz", [("images/Abyssinian_1.jpg", b"x", FILE, "")]
    ).read_bytes()
    sets = (
        fetch.Archive(
            f"{server.url}/images.tar.gz",
            "oxford-iiit-pet/images",
            folder="oxford-iiit-pet",
            size=len(server.files["images.tar.gz"]),
        ),
    )
    target = tmp_path / "data"
    for _ in range(2):
        fetch.fetch("pets", target, sets)
    assert (target / "oxford-iiit-pet" / "images" / "Abyssinian_1.jpg").read_bytes() == b"x"
    assert len(server.requests) == 1
    with pytest.raises(ConfigError, match="Did you mean 'cub'"):
        fetch.fetch("cup", target)


def test_cub_without_captions_says_where_to_put_them(tmp_path):
    (tmp_path / "CUB_200_2011").mkdir()
    (tmp_path / "CUB_200_2011" / "images.txt").touch()
    (tmp_path / "segmentations").mkdir()
    with pytest.raises(UserError, match="text_c10"):
        fetch.fetch("cub", tmp_path)
    (tmp_path / "CUB_200_2011" / "text_c10").mkdir()
    assert fetch.fetch("cub", tmp_path) == tmp_path


def test_every_official_archive_names_what_verifies_it():
    for sets in fetch.ARCHIVES.values():
        for archive in sets:
            assert archive.url.startswith("https://") and (archive.md5 or archive.sha256)
