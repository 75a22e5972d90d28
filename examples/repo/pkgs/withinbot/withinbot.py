#!/usr/bin/env python3
"""
A chat bot that knows about printers.

It listens on a Unix socket. A conversation is lines of UTF-8: the bot greets, and it
answers each line that begins with its prefix with one line. Other lines are people
talking to each other, and it keeps out of them. What it must remember it keeps in
``memory.json`` in its working directory.

Settings come from the environment; ``withinbot --help`` names them.
"""

from __future__ import annotations

import argparse
import asyncio
import hmac
import json
import logging
import os
import random
import signal
import socket
import sys
import time
from dataclasses import dataclass, field
from datetime import timedelta
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

VERSION = "1.4.0"

LINE_LIMIT = 1024  # bytes; chat, not files
CONVERSATIONS_LIMIT = 64
SEND_TIMEOUT = 10.0  # seconds until somebody who does not read is dropped
LEARNED_LIMIT = 1000  # facts; memory.json is written whole each time

DEFAULT_SOCKET = "/run/withinbot/withinbot.sock"

ENVIRONMENT = f"""\
settings (environment):
  WITHINBOT_FACTS     text file with one fact to a line (needed by serve)
  WITHINBOT_NAME      what the bot calls itself (withinbot)
  WITHINBOT_GREETING  its first line; {{name}} and {{prefix}} are filled in
  WITHINBOT_PREFIX    what the lines that it answers begin with (~)
  WITHINBOT_SOCKET    where it listens ({DEFAULT_SOCKET})
  WITHINBOT_TOKEN     password for teaching it facts (unset: nobody may)
"""

log = logging.getLogger("withinbot")


class SettingsError(Exception):
    """The environment does not hold usable settings."""


@dataclass(frozen=True)
class Settings:
    """What the owner decides, as read from the environment."""

    name: str
    greeting: str
    prefix: str
    socket: Path
    facts: tuple[str, ...]
    token: str = field(repr=False)

    @classmethod
    def read(cls, environment: Mapping[str, str]) -> Settings:
        """Return the settings in *environment*; raise `SettingsError`."""
        name = environment.get("WITHINBOT_NAME", "withinbot")
        prefix = environment.get("WITHINBOT_PREFIX", "~")
        greeting = environment.get(
            "WITHINBOT_GREETING", "Hello, I am {name}. Say {prefix}help."
        )
        if not prefix or not prefix.isprintable() or " " in prefix:
            message = "WITHINBOT_PREFIX must be printable, with no space and not empty"
            raise SettingsError(message)
        return cls(
            name=name,
            greeting=greeting.replace("{name}", name).replace("{prefix}", prefix),
            prefix=prefix,
            socket=Path(environment.get("WITHINBOT_SOCKET", DEFAULT_SOCKET)),
            facts=read_facts(environment.get("WITHINBOT_FACTS", "")),
            token=environment.get("WITHINBOT_TOKEN", ""),
        )


def read_facts(path: str) -> tuple[str, ...]:
    """Return the lines of the file *path* that are facts; raise `SettingsError`."""
    if not path:
        message = "WITHINBOT_FACTS is not set"
        raise SettingsError(message)
    try:
        lines = Path(path).read_text(encoding="utf-8").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        message = f"WITHINBOT_FACTS: cannot read {path}: {error}"
        raise SettingsError(message) from error
    facts = tuple(line.strip() for line in lines if line.strip()[:1] not in ("", "#"))
    if not facts:
        message = f"WITHINBOT_FACTS: {path} holds no facts"
        raise SettingsError(message)
    return facts


class Memory:
    """
    What the bot remembers from one start to the next.

    Every change is on disk before it is spoken of: the file is written anew beside
    the old one and renamed over it, so a crash leaves the one or the other.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self.told = 0
        self.learned: list[str] = []

    def load(self) -> None:
        """Read the file; one that is no memory is kept aside, and a new one begun."""
        try:
            content = json.loads(self.path.read_text(encoding="utf-8"))
            self.told = int(content["told"])
            self.learned = [str(fact) for fact in content["learned"]]
        except FileNotFoundError:
            log.info("no %s yet: starting with an empty memory", self.path)
        except (ValueError, TypeError, KeyError) as error:
            aside = self.path.with_suffix(".broken")
            self.path.replace(aside)
            log.warning("%s is no memory (%r): kept as %s", self.path, error, aside)

    def count_told(self) -> None:
        """Count one more fact told; a disk that is full costs the count only."""
        self.told += 1
        try:
            self._save()
        except OSError as error:
            log.warning("cannot write %s: %s", self.path, error)

    def learn(self, fact: str) -> None:
        """Add *fact*; raise `OSError` and know it not if it cannot be written."""
        self.learned.append(fact)
        try:
            self._save()
        except OSError:
            self.learned.pop()
            raise

    def _save(self) -> None:
        content = {"told": self.told, "learned": self.learned}
        fresh = self.path.with_suffix(".new")
        with fresh.open("w", encoding="utf-8") as file:
            json.dump(content, file, ensure_ascii=False, indent=1)
            file.flush()
            os.fsync(file.fileno())
        fresh.replace(self.path)


class Bot:
    """The commands and what they share."""

    def __init__(self, settings: Settings, memory: Memory) -> None:
        self.settings = settings
        self.memory = memory
        self.started = time.monotonic()
        self.conversations = 0

    def any_fact(self) -> str:
        """Return one of the facts known, and count it."""
        fact = random.choice([*self.settings.facts, *self.memory.learned])  # noqa: S311
        self.memory.count_told()
        return fact

    def describe_uptime(self) -> str:
        """Return for how long the bot has been running, in words."""
        uptime = timedelta(seconds=int(time.monotonic() - self.started))
        return f"I have been up for {uptime}."

    def describe_stats(self) -> str:
        """Return what the bot knows and has done, in words."""
        known = len(self.settings.facts)
        learned = len(self.memory.learned)
        return (
            f"I know {known} facts by heart and learned {learned}. "
            f"I have told {self.memory.told} and am in {self.conversations} "
            f"conversations."
        )


class Conversation:
    """One person at the socket: what they may do, and the answers they get."""

    def __init__(self, bot: Bot) -> None:
        self.bot = bot
        self.trusted = False
        self.commands: dict[str, Callable[[str], str]] = {
            "auth": self._auth,
            "help": self._help,
            "learn": self._learn,
            "printerfact": lambda _: bot.any_fact(),
            "stats": lambda _: bot.describe_stats(),
            "uptime": lambda _: bot.describe_uptime(),
        }

    def answer(self, line: str) -> str | None:
        """Return the answer to *line*, or nothing if it was not meant for the bot."""
        prefix = self.bot.settings.prefix
        if not line.startswith(prefix):
            return None
        word, _, rest = line[len(prefix) :].strip().partition(" ")
        command = self.commands.get(word.lower())
        if command is None:
            return f"I do not know that one. Say {prefix}help."
        # The command alone: what follows ~auth is a password.
        log.info("answering %s%s", prefix, word.lower())
        return command(rest.strip())

    def _help(self, _: str) -> str:
        prefix = self.bot.settings.prefix
        return "I answer " + ", ".join(prefix + name for name in self.commands) + "."

    def _auth(self, token: str) -> str:
        right = self.bot.settings.token
        if not right:
            return "I have no token, so I trust nobody."
        self.trusted = hmac.compare_digest(token.encode(), right.encode())
        if not self.trusted:
            log.warning("somebody tried a wrong token")
        return "Good to see you." if self.trusted else "That is not the token."

    def _learn(self, fact: str) -> str:
        if not self.trusted:
            return f"Say {self.bot.settings.prefix}auth TOKEN first."
        if not fact:
            return "Learn what?"
        if len(self.bot.memory.learned) >= LEARNED_LIMIT:
            return "My head is full."
        try:
            self.bot.memory.learn(fact)
        except OSError as error:
            log.warning("cannot write %s: %s", self.bot.memory.path, error)
            return "I could not write that down."
        return "I will remember that."


async def read_line(reader: asyncio.StreamReader) -> str | None:
    """
    Return the next line without its end, or None at the end of the conversation.

    Bytes that are no UTF-8 and control characters are replaced. An overlong line is
    thrown away as it arrives, however long it gets, and comes back as a single NUL.
    """
    overlong = False
    while True:
        try:
            raw = await reader.readuntil(b"\n")
        except asyncio.LimitOverrunError as error:
            await reader.readexactly(error.consumed)
            overlong = True
        except asyncio.IncompleteReadError as error:
            if not error.partial:
                return None
            raw = error.partial
            return "\0" if overlong else clean(raw)
        else:
            return "\0" if overlong else clean(raw)


def clean(raw: bytes) -> str:
    """Return *raw* as one line of printable text."""
    text = raw.decode("utf-8", errors="replace").strip()
    return "".join(char if char.isprintable() else "\ufffd" for char in text)


async def send(writer: asyncio.StreamWriter, line: str) -> None:
    """Send *line*; raise `TimeoutError` if the other side does not read."""
    writer.write(line.encode() + b"\n")
    await asyncio.wait_for(writer.drain(), SEND_TIMEOUT)


async def converse(
    bot: Bot, reader: asyncio.StreamReader, writer: asyncio.StreamWriter
) -> None:
    """Greet, then answer line by line until the other side goes."""
    await send(writer, bot.settings.greeting)
    conversation = Conversation(bot)
    while (line := await read_line(reader)) is not None:
        answer = "That was too long." if line == "\0" else conversation.answer(line)
        if answer is not None:
            await send(writer, answer)


class Server:
    """The socket, and the tasks of those who are connected to it."""

    def __init__(self, bot: Bot) -> None:
        self.bot = bot
        self.tasks: set[asyncio.Task[None]] = set()

    async def run(self) -> None:
        """Serve until SIGTERM or SIGINT; raise `OSError` without a socket."""
        stop = asyncio.Event()
        loop = asyncio.get_running_loop()
        for number in (signal.SIGTERM, signal.SIGINT):
            loop.add_signal_handler(number, stop.set)
        path = self.bot.settings.socket
        server = await asyncio.start_unix_server(self._accept, path, limit=LINE_LIMIT)
        path.chmod(0o660)
        log.info("%s %s listens on %s", self.bot.settings.name, VERSION, path)
        await stop.wait()
        log.info("asked to stop: closing %d conversations", len(self.tasks))
        server.close()
        await self._hang_up()
        path.unlink(missing_ok=True)
        log.info("goodbye")

    async def _hang_up(self) -> None:
        for task in self.tasks:
            task.cancel()
        await asyncio.gather(*self.tasks, return_exceptions=True)

    def _accept(
        self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter
    ) -> None:
        task = asyncio.ensure_future(self._serve_one(reader, writer))
        self.tasks.add(task)
        task.add_done_callback(self.tasks.discard)

    async def _serve_one(
        self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter
    ) -> None:
        self.bot.conversations += 1
        try:
            if self.bot.conversations > CONVERSATIONS_LIMIT:
                await send(writer, "Too many people are talking to me.")
            else:
                await converse(self.bot, reader, writer)
        except (ConnectionError, TimeoutError):
            writer.transport.abort()  # they went, or do not listen: keep nothing
        finally:
            self.bot.conversations -= 1
            writer.close()


def serve() -> int:
    """Run the bot in the foreground; return the exit status."""
    logging.basicConfig(stream=sys.stdout, level=logging.INFO, format="%(message)s")
    try:
        settings = Settings.read(os.environ)
        memory = Memory(Path("memory.json").absolute())
        memory.load()
        asyncio.run(Server(Bot(settings, memory)).run())
    except (SettingsError, OSError) as error:
        log.error("withinbot: %s", error)  # noqa: TRY400 (a traceback says no more)
        return 1
    return 0


def ask(lines: list[str]) -> int:
    """Say *lines* to the running bot and print what it says; return the exit status."""
    path = os.environ.get("WITHINBOT_SOCKET", DEFAULT_SOCKET)
    try:
        with socket.socket(socket.AF_UNIX) as client:
            client.settimeout(SEND_TIMEOUT)
            client.connect(path)
            client.sendall("".join(line + "\n" for line in lines).encode())
            client.shutdown(socket.SHUT_WR)
            with client.makefile(encoding="utf-8") as answers:
                next(answers, None)  # the greeting
                sys.stdout.writelines(answers)
    except OSError as error:
        print(f"withinbot: {path}: {error}", file=sys.stderr)
        return 1
    return 0


def main() -> int:
    """Read the command line and run what it asks for."""
    parser = argparse.ArgumentParser(
        prog="withinbot",
        description="A chat bot that knows about printers.",
        epilog=ENVIRONMENT,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--version", action="version", version=VERSION)
    commands = parser.add_subparsers(dest="command", required=True)
    commands.add_parser("serve", help="run the bot in the foreground")
    asking = commands.add_parser("ask", help="say something to the running bot")
    asking.add_argument("line", nargs="+", help="such as '~printerfact'")
    arguments = parser.parse_args()
    return serve() if arguments.command == "serve" else ask(arguments.line)


if __name__ == "__main__":
    sys.exit(main())
