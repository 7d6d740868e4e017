"""Ranges over real sockets: by clients as people have them, of files that change, and in how much memory."""

from __future__ import annotations

import os
import random
import subprocess
import time
import wave
from collections.abc import Iterator
from http.client import IncompleteRead
from pathlib import Path
from typing import Any

import pytest

from tests.services import RangeServer, module, program

HUGE = 5 << 30
ARGUMENTS = ["--headless", "--no-sandbox", "--disable-gpu", "--autoplay-policy=no-user-gesture-required"]


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RangeServer]:
    running = RangeServer(tmp_path_factory.mktemp("served"))
    yield running
    running.stop()


@pytest.mark.parametrize(
    "command",
    [["curl", "-sS", "-C", "-", "-o", "copy.bin"], ["wget", "-q", "-c", "-O", "copy.bin"]],
    ids=["curl", "wget"],
)
@pytest.mark.parametrize("have", [0, 1, 700_000, 1_000_000])
def test_a_download_goes_on(server: RangeServer, tmp_path: Path, command: list[str], have: int) -> None:
    content = random.Random(0).randbytes(1_000_000)
    (server.folder / "data.bin").write_bytes(content)
    (tmp_path / "copy.bin").write_bytes(content[:have])

    subprocess.run([program(command[0]), *command[1:], f"{server.url}/files/data.bin"], cwd=tmp_path, timeout=30)

    assert (tmp_path / "copy.bin").read_bytes() == content


@pytest.mark.parametrize(
    "headers", [{}, {"Range": "bytes=0-"}, {"Range": "bytes=0-9,20-"}], ids=["200", "206", "parts"]
)
@pytest.mark.parametrize("kind", ["files", "logs"])
def test_a_file_that_shrinks_meanwhile_ends_the_connection(
    server: RangeServer, kind: str, headers: dict[str, str]
) -> None:
    file = server.folder / "shrinking.bin"
    file.touch()
    os.truncate(file, 200 << 20)
    answer = server.connect(f"/{kind}/shrinking.bin", **headers)
    answer.read(10)

    os.truncate(file, 100)

    with pytest.raises((IncompleteRead, ConnectionResetError)):
        answer.read()


def test_a_client_that_goes_away_leaves_no_file_open(server: RangeServer) -> None:
    file = server.folder / "left.bin"
    file.touch()
    os.truncate(file, 200 << 20)

    for headers in ({}, {"Range": "bytes=0-"}, {"Range": "bytes=0-9,20-"}):
        answer = server.connect("/files/left.bin", **headers)
        answer.read(10)
        answer.close()

    for _ in range(100):
        if not any(link.resolve() == file for link in Path(f"/proc/{server.worker}/fd").iterdir()):
            return
        time.sleep(0.1)
    pytest.fail("still open")


@pytest.mark.parametrize("headers", [[], ["-r", "1-"], ["-r", "0-1,9-"]], ids=["200", "206", "parts"])
def test_five_gigabytes_need_no_memory(server: RangeServer, headers: list[str]) -> None:
    file = server.folder / "huge.bin"
    file.touch()
    os.truncate(file, HUGE)  # without a block on the disk
    server.connect("/files/huge.bin", Range="bytes=0-0").read()
    before = server.peak

    command = [program("curl"), "-sS", *headers, "-o", "/dev/null", "-w", "%{size_download}"]
    size = subprocess.run([*command, f"{server.url}/files/huge.bin"], check=True, capture_output=True).stdout

    print(f"{int(size):,} bytes, peak {before:,} -> {server.peak:,}")
    assert int(size) >= HUGE - 8
    assert server.peak - before < 8 << 20


PLAY = """async (url) => {
  const audio = new Audio(url);
  const event = (name) => new Promise((resolve, reject) => {
    audio.addEventListener(name, resolve, {once: true});
    audio.addEventListener('error', () => reject(audio.error.message), {once: true});
  });
  await event('loadedmetadata');
  audio.currentTime = 500;
  await event('seeked');
  await audio.play();
  const part = await fetch(url, {headers: {Range: 'bytes=0-3'}});
  return [audio.duration, audio.currentTime >= 500, part.status, await part.text()];
}"""


@pytest.mark.browser
def test_a_browser_plays_from_the_middle(server: RangeServer) -> None:
    with wave.open(str(server.folder / "tone.wav"), "wb") as tone:
        tone.setparams((1, 2, 44100, 0, "NONE", ""))
        tone.writeframes(random.Random(0).randbytes(2 * 44100 * 600))
    module("playwright")
    with module("playwright.sync_api").sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=program("chromium"), args=ARGUMENTS)
        page = browser.new_page()
        answers: list[Any] = []
        page.on("response", lambda answer: answers.append(answer))
        page.goto(f"{server.url}/files/nothing")

        seen = page.evaluate(PLAY, f"{server.url}/files/tone.wav")
        browser.close()

    ranges = [answer.headers["content-range"] for answer in answers if answer.status == 206]
    assert seen == [600, True, 206, "RIFF"]
    assert any(int(said.split("-")[0].split()[1]) > 1_000_000 for said in ranges)
