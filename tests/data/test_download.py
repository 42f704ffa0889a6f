import hashlib
import http.server
import os
import signal
import socket
import struct
import subprocess
import sys
import threading
from pathlib import Path

import pytest

import scratchnet.data.__main__ as data
from scratchnet.data import DATASETS
from scratchnet.data.__main__ import main
from scratchnet.data.download import RemoteFile, Source, fetch
from scratchnet.data.sets import Published
from scratchnet.errors import DownloadError, OutputError

ROOT = Path(__file__).parents[2]
CONTENT = bytes(range(256)) * 1000
NAME = "train-images-idx3-ubyte.gz"
FILE = RemoteFile(NAME, hashlib.sha256(CONTENT).hexdigest(), len(CONTENT))
PART = f".{NAME}.part"


class Server(http.server.ThreadingHTTPServer):
    """Plays the fault named by the first part of the path; notes every Range it was asked for."""

    daemon_threads = True

    def __init__(self):
        super().__init__(("127.0.0.1", 0), Handler)
        self.ranges = []
        self.released = threading.Event()

    def mirror(self, fault):
        return f"http://127.0.0.1:{self.server_port}/{fault}/"

    def handle_error(self, *_):
        """The client may go at any time."""


class Handler(http.server.BaseHTTPRequestHandler):
    timeout = 10

    def log_message(self, *_):
        pass

    def do_GET(self):
        fault, _, argument = self.path.split("/")[1].partition("=")
        wanted = self.headers.get("Range")
        self.server.ranges.append(wanted)
        getattr(self, f"play_{fault}")(argument, wanted)

    def send(self, content, *, length=None, status=200, headers=()):
        self.send_response(status)
        self.send_header("Content-Length", str(len(content) if length is None else length))
        for name, value in headers:
            self.send_header(name, value)
        self.end_headers()
        self.wfile.write(content)

    def play_good(self, _, wanted):
        if wanted is None:
            return self.send(CONTENT)
        start = int(wanted.removeprefix("bytes=").removesuffix("-"))
        if start >= len(CONTENT):
            return self.send_error(416)
        place = ("Content-Range", f"bytes {start}-{len(CONTENT) - 1}/{len(CONTENT)}")
        return self.send(CONTENT[start:], status=206, headers=[place])

    def play_whole(self, *_):
        self.send(CONTENT)

    def play_misplaced(self, *_):
        self.send(CONTENT[7:], status=206, headers=[("Content-Range", "bytes 7-9/10")])

    def play_cut(self, k, _):
        self.send(CONTENT[: int(k)], length=len(CONTENT))

    def play_unsized(self, k, _):
        self.send_response(200)
        self.end_headers()
        self.wfile.write(CONTENT[: int(k)])

    def play_wrong(self, *_):
        self.send(CONTENT[:-1] + b"?")

    def play_short(self, *_):
        self.send(CONTENT, length=1000)

    def play_endless(self, *_):
        self.send(CONTENT + bytes(2**20))

    def play_empty(self, *_):
        self.send(b"")

    def play_html(self, *_):
        self.send(b"\n<!DOCTYPE html><p>Please sign in</p>" + bytes(10**5))

    def play_status(self, code, _):
        self.send_error(int(code))

    def play_redirect(self, where, _):
        self.send(b"", status=302, headers=[("Location", f"/{where}/{NAME}")])

    def play_stall(self, k, _):
        self.send(CONTENT[: int(k)], length=len(CONTENT))
        self.wfile.flush()
        self.server.released.wait(20)

    def play_silent(self, *_):
        self.server.released.wait(20)

    def play_drip(self, *_):
        """A byte now and then: no single wait is long."""
        self.send(b"", length=len(CONTENT))
        while not self.server.released.wait(0.05):
            try:
                self.wfile.write(CONTENT[:1])
            except OSError:
                return

    def play_continues(self, *_):
        """Interim answers without end, none of which is the answer."""
        while not self.server.released.wait(0.01):
            try:
                self.wfile.write(b"HTTP/1.1 100 Continue\r\n\r\n")
            except OSError:
                return

    def play_headers(self, *_):
        """Headers without end."""
        self.wfile.write(b"HTTP/1.1 200 OK\r\n")
        while not self.server.released.wait(0.01):
            try:
                self.wfile.write(b"X: y\r\n")
            except OSError:
                return

    def play_elsewhere(self, to, _):
        self.send(b"", status=302, headers=[("Location", to.replace("+", "/"))])

    def play_controls(self, *_):
        self.send_response(404, "\x1b[31mred\x07" + "x" * 999)
        self.end_headers()

    def play_garbage(self, *_):
        self.wfile.write(b"this is no HTTP\r\n\r\n")

    def play_reset(self, k, _):
        self.send(CONTENT[: int(k)], length=len(CONTENT))
        self.wfile.flush()
        linger = struct.pack("ii", 1, 0)
        self.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, linger)
        self.connection.close()


@pytest.fixture(scope="module")
def running():
    with Server() as server:
        thread = threading.Thread(target=server.serve_forever, args=(0.01,))
        thread.start()
        yield server
        server.released.set()
        server.shutdown()
        thread.join()


@pytest.fixture
def server(running):
    running.ranges.clear()
    return running


def get(server, folder, *faults, file=FILE, timeout=5.0, **options):
    mirrors = [server.mirror(fault) for fault in faults]
    return fetch(file, mirrors, folder, timeout=timeout, **options)


def names(folder):
    return sorted(path.name for path in folder.iterdir())


def test_a_good_mirror_delivers_once_and_then_the_file_is_kept(server, tmp_path):
    folder = tmp_path / "new" / "folder"
    told = []
    assert get(server, folder, "good", report=told.append) is True
    assert (folder / NAME).read_bytes() == CONTENT
    assert names(folder) == [NAME]
    assert told == sorted(told)
    assert told[-1] == len(CONTENT)
    assert get(server, folder, "good") is False
    assert server.ranges == [None]


FAULTS = {
    "cut=1000": "ended after 1000 of 256000 bytes",
    "cut=0": "ended after 0 of 256000 bytes",
    "unsized=5000": "ended after 5000 of 256000 bytes",
    "wrong": "expected SHA-256 " + FILE.sha256 + ", found ",
    "short": "expected SHA-256 ",
    "endless": "sent more than the 256000 bytes expected",
    "empty": "expected SHA-256 ",
    "html": "got an HTML page",
    "status=403": "HTTP 403 Forbidden",
    "status=404": "HTTP 404 Not Found",
    "status=416": "HTTP 416",
    "status=503": "HTTP 503 Service Unavailable",
    "misplaced": "sent another part than the one from byte 0",
    "garbage": "this is no HTTP",
    "stall=2000": "no answer in time",
    "silent": "no answer in time",
    "drip": "fewer than 1024 bytes in ",
    "continues": "fewer than 1024 bytes in ",
    "headers": "more than 100 headers",
    "elsewhere=ftp:++127.0.0.1+x": "unknown url type: ftp",
    "elsewhere=file:+++etc+passwd": "is not allowed",
    "controls": "HTTP 404 \\x1b[31mred\\x07",
    "reset=3000": "Connection reset by peer",
    "redirect=status=404": "HTTP 404",
}


@pytest.mark.parametrize("fault", FAULTS)
def test_a_faulty_mirror_leaves_no_file_and_is_named_with_its_reason(server, tmp_path, fault):
    with pytest.raises(DownloadError) as caught:
        get(server, tmp_path, fault, timeout=1.0)
    message = str(caught.value)
    assert f"{server.mirror(fault)}{NAME}: " in message
    assert FAULTS[fault] in message
    assert f"put a copy of it into {str(tmp_path)!r} by hand" in message
    assert message.isprintable()
    assert len(message) < 700
    assert NAME not in names(tmp_path)
    assert set(names(tmp_path)) <= {PART}


@pytest.mark.parametrize("fault", FAULTS)
def test_after_any_fault_a_good_mirror_completes_the_file(server, tmp_path, fault):
    assert get(server, tmp_path, fault, "good", timeout=1.0) is True
    assert (tmp_path / NAME).read_bytes() == CONTENT
    assert names(tmp_path) == [NAME]


def test_a_part_with_the_wrong_sum_is_deleted_and_a_broken_off_one_is_kept(server, tmp_path):
    with pytest.raises(DownloadError):
        get(server, tmp_path, "wrong")
    assert names(tmp_path) == []
    with pytest.raises(DownloadError):
        get(server, tmp_path, "cut=1000")
    assert names(tmp_path) == [PART]
    assert (tmp_path / PART).read_bytes() == CONTENT[:1000]


def test_a_redirect_is_followed(server, tmp_path):
    assert get(server, tmp_path, "redirect=good") is True
    assert (tmp_path / NAME).read_bytes() == CONTENT


def test_a_rerun_asks_for_the_rest_only(server, tmp_path):
    with pytest.raises(DownloadError):
        get(server, tmp_path, "cut=70000")
    assert get(server, tmp_path, "good") is True
    assert server.ranges == [None, "bytes=70000-"]
    assert (tmp_path / NAME).read_bytes() == CONTENT


def test_a_server_that_ignores_ranges_starts_over(server, tmp_path):
    (tmp_path / PART).write_bytes(CONTENT[:1000])
    assert get(server, tmp_path, "whole") is True
    assert server.ranges == ["bytes=1000-"]
    assert (tmp_path / NAME).read_bytes() == CONTENT


@pytest.mark.parametrize("part", [b"?" * 1000, b"?" * len(CONTENT), CONTENT + b"more"])
def test_a_part_with_wrong_bytes_is_thrown_away_and_not_blamed_on_the_mirror(
    server, tmp_path, part
):
    (tmp_path / PART).write_bytes(part)
    assert get(server, tmp_path, "good") is True
    assert server.ranges == [f"bytes={len(part)}-", None]
    assert (tmp_path / NAME).read_bytes() == CONTENT


def test_a_part_that_is_whole_needs_no_network(server, tmp_path):
    (tmp_path / PART).write_bytes(CONTENT)
    assert get(server, tmp_path, "status=404") is True
    assert server.ranges == []
    assert names(tmp_path) == [NAME]


def test_a_wrong_file_under_the_final_name_is_replaced_only_by_the_right_one(server, tmp_path):
    (tmp_path / NAME).write_bytes(b"old")
    with pytest.raises(DownloadError):
        get(server, tmp_path, "wrong")
    assert (tmp_path / NAME).read_bytes() == b"old"
    assert get(server, tmp_path, "good") is True
    assert (tmp_path / NAME).read_bytes() == CONTENT


def test_all_mirrors_are_tried_and_named(server, tmp_path):
    with pytest.raises(DownloadError) as caught:
        get(server, tmp_path, "status=503", "html", "wrong")
    message = str(caught.value)
    for fault in ("status=503", "html", "wrong"):
        assert f"{server.mirror(fault)}{NAME}: {FAULTS[fault]}" in message


def test_without_a_known_size_there_is_still_a_limit(server, tmp_path, monkeypatch):
    unsized = RemoteFile(NAME, FILE.sha256)
    assert get(server, tmp_path, "unsized=256000", file=unsized) is True
    monkeypatch.setattr("scratchnet.data.download.MAX_BYTES", 1000)
    with pytest.raises(DownloadError, match="sent more than the 1000 bytes"):
        get(server, tmp_path / "b", "good", file=unsized)


@pytest.mark.parametrize("address", ["http://127.0.0.1:1/", "http://nowhere.invalid/", "nonsense/"])
def test_no_network_is_a_download_error(tmp_path, address):
    with pytest.raises(DownloadError, match=address):
        fetch(FILE, [address], tmp_path, timeout=2)


def test_a_folder_that_cannot_be_written_is_an_output_error(server, tmp_path):
    (tmp_path / "file").write_bytes(b"")
    with pytest.raises(OutputError, match=r"cannot write .*; choose a folder"):
        get(server, tmp_path / "file" / "folder", "good")
    (tmp_path / NAME).mkdir()
    with pytest.raises(OutputError, match="cannot write"):
        get(server, tmp_path, "good")


def test_a_full_disk_is_an_output_error_and_no_fault_of_the_mirror(server, tmp_path):
    resource = pytest.importorskip("resource")
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (1000, limits[1]))
    try:
        with pytest.raises(OutputError, match=r"cannot write .*: File too large; choose a folder"):
            get(server, tmp_path, "good")
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
    assert NAME not in names(tmp_path)
    assert get(server, tmp_path, "good") is True


def test_two_processes_do_not_write_the_same_part(server, tmp_path):
    fcntl = pytest.importorskip("fcntl")
    with open(tmp_path / PART, "wb") as other:
        fcntl.flock(other, fcntl.LOCK_EX)
        with pytest.raises(OutputError, match="another process is writing"):
            get(server, tmp_path, "good")
    assert get(server, tmp_path, "good") is True


CLIENT = f"""
import sys
from scratchnet.data.download import RemoteFile, fetch
file = RemoteFile({NAME!r}, {FILE.sha256!r}, {FILE.size})
fetch(file, [sys.argv[1]], sys.argv[2], report=lambda done: print(done, flush=True))
"""


@pytest.mark.skipif(sys.platform == "win32", reason="there is no SIGKILL there")
def test_a_killed_client_leaves_no_bad_file_and_the_next_one_goes_on(server, tmp_path):
    command = [sys.executable, "-c", CLIENT, server.mirror("stall=200000"), str(tmp_path)]
    env = {**os.environ, "PYTHONPATH": str(ROOT)}
    with subprocess.Popen(command, env=env, stdout=subprocess.PIPE, text=True) as client:
        while int(client.stdout.readline()) < 3 * 2**16:
            pass
        client.send_signal(signal.SIGKILL)
    assert client.returncode == -signal.SIGKILL
    assert names(tmp_path) == [PART]
    done = (tmp_path / PART).stat().st_size
    assert 0 < done < len(CONTENT)
    server.ranges.clear()
    assert get(server, tmp_path, "good") is True
    assert server.ranges == [f"bytes={done}-"]
    assert (tmp_path / NAME).read_bytes() == CONTENT


# The command


@pytest.fixture
def tiny(server, monkeypatch):
    def use(*faults):
        source = Source(tuple(server.mirror(fault) for fault in faults), (FILE,))
        table = {"digits": DATASETS["digits"], "tiny": Published("tiny", source)}
        monkeypatch.setattr(data, "DATASETS", table)

    return use


def test_the_command_fetches_and_says_so_and_a_rerun_keeps(server, tmp_path, tiny, capsys):
    tiny("good")
    assert main(["Tiny", "--to", str(tmp_path)]) == 0
    path = tmp_path / NAME
    out, err = capsys.readouterr()
    assert out == f"{path}: fetched, SHA-256 right\n"
    assert err == ""
    assert main(["tiny", "--to", str(tmp_path)]) == 0
    assert capsys.readouterr().out == f"{path}: already there, SHA-256 right\n"
    assert server.ranges == [None]


def test_the_command_puts_files_where_load_looks_for_them(tmp_path, tiny, monkeypatch):
    tiny("good")
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("SCRATCHNET_DATA", raising=False)
    assert main(["tiny"]) == 0
    assert (tmp_path / "datasets/tiny" / NAME).read_bytes() == CONTENT
    monkeypatch.setenv("SCRATCHNET_DATA", str(tmp_path / "home"))
    assert main(["tiny"]) == 0
    assert (tmp_path / "home/tiny" / NAME).read_bytes() == CONTENT


@pytest.mark.parametrize(
    ("args", "words"),
    [
        (["tinny"], "unknown data set to fetch 'tinny'; did you mean 'tiny'?"),
        (["digits"], "unknown data set to fetch 'digits'"),
        (["tiny", "--to", ""], "--to must name a folder"),
        (["tiny", "--t", "x"], "unrecognized arguments"),
        ([], "the following arguments are required"),
    ],
)
def test_wrong_usage_exits_2(tiny, capsys, args, words):
    tiny("good")
    with pytest.raises(SystemExit) as caught:
        main(args)
    assert caught.value.code == 2
    assert words in capsys.readouterr().err


def test_exit_codes_tell_network_from_disk_from_ctrl_c(tmp_path, tiny, capsys, monkeypatch):
    tiny("html")
    assert main(["tiny", "--to", str(tmp_path)]) == 6
    assert "error: no mirror delivered" in capsys.readouterr().err
    (tmp_path / "file").write_bytes(b"")
    assert main(["tiny", "--to", str(tmp_path / "file" / "x")]) == 4
    assert "error: cannot write" in capsys.readouterr().err

    def stopped(*_, **__):
        raise KeyboardInterrupt

    monkeypatch.setattr(data, "fetch", stopped)
    assert main(["tiny", "--to", str(tmp_path)]) == 130
    assert "stopped" in capsys.readouterr().err


def test_the_command_runs_as_a_module_without_warnings(tmp_path):
    env = {**os.environ, "PYTHONPATH": str(ROOT)}
    command = [sys.executable, "-W", "error", "-m", "scratchnet.data", "mnits"]
    done = subprocess.run(
        command, env=env, cwd=tmp_path, capture_output=True, text=True, timeout=60
    )
    assert done.returncode == 2, done.stderr
    assert "did you mean 'mnist'? The names are: mnist, fashion-mnist, kmnist" in done.stderr
    assert "Traceback" not in done.stderr
    helped = [sys.executable, "-W", "error", "-m", "scratchnet.data", "--help"]
    done = subprocess.run(helped, env=env, cwd=tmp_path, capture_output=True, text=True, timeout=60)
    assert done.returncode == 0
    assert "mnist, fashion-mnist, kmnist" in " ".join(done.stdout.split())
