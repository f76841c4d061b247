"""Chats with the real CLIs through examples/bridge.py: no history is lost when their mappings are pruned. And what the
CLIs run by their own tools: each session keeps its number in the registry. And Claude Code with our plugin: what a
killed session leaves behind is ended, and nothing else.

    scenarios.py SESSION_SWEEP FOLDER_OF_THE_CLIS TEMPORARY_FOLDER [--alone]

With --alone there are no processes but its own, and those that end processes are tried, too. Prints a line for each
step. A scenario ends with the first step that fails.
"""

import contextlib
import functools
import http.client
import json
import os
import pathlib
import shlex
import shutil
import signal
import subprocess
import sys
import time
import urllib.parse

from model_server import ModelServer

HERE = pathlib.Path(__file__).resolve().parent
REPOSITORY = HERE.parent.parent
BRIDGE = REPOSITORY / "examples" / "bridge.py"
PLUGIN = REPOSITORY / "packaging" / "claude-plugin"
THREE_HOURS = 3 * 60 * 60
CHAT = "a chat"
# Python that runs a program at a terminal of its own.
WINDOW = "import os, pty, sys; sys.exit(os.waitstatus_to_exitcode(pty.spawn(sys.argv[1:])))"


# What each CLI needs to talk to our model and to nobody else.


def use_claude(home, model_url):
    return {
        "ANTHROPIC_BASE_URL": model_url,
        "ANTHROPIC_API_KEY": "dummy",
        "CLAUDE_CODE_DISABLE_NONESSENTIAL_TRAFFIC": "1",
        # 2.0.42 asks for more all the same. Our model is no proxy, so that stays here.
        "HTTPS_PROXY": model_url,
        "NO_PROXY": "127.0.0.1",
    }


def use_codex(home, model_url):
    write(
        home / ".codex" / "config.toml",
        f"""
        model = "dummy"
        model_provider = "loopback"
        check_for_update_on_startup = false
        [analytics]
        enabled = false
        [features]
        plugins = false
        [model_providers.loopback]
        name = "loopback"
        base_url = "{model_url}/v1"
        env_key = "DUMMY_KEY"
        wire_api = "responses"
        supports_websockets = false
        """,
    )
    return {"DUMMY_KEY": "dummy", "HTTPS_PROXY": model_url, "NO_PROXY": "127.0.0.1"}


def use_gemini(home, model_url, **general):
    settings = {
        "general": {"enableAutoUpdate": False, **general},
        "model": {"name": "gemini-2.5-flash"},
        "privacy": {"usageStatisticsEnabled": False},
        "security": {"auth": {"selectedType": "gemini-api-key"}},
        "tools": {"useRipgrep": False},  # 0.37 would download it
    }
    write(home / ".gemini" / "settings.json", json.dumps(settings))
    # No HTTPS_PROXY: 0.37 would look for our model through it, too.
    return {"GEMINI_API_KEY": "dummy", "GOOGLE_GEMINI_BASE_URL": model_url, "GEMINI_CLI_TRUST_WORKSPACE": "true"}


def use_gemini_without_retention(home, model_url):
    return use_gemini(home, model_url, sessionRetention={"enabled": False})


def write(path, text):
    path.parent.mkdir(parents=True)
    path.write_text(text)


# The scenarios.


def bridged(scenario):
    """Starts the bridge before a scenario, and ends it after that."""

    @functools.wraps(scenario)
    def with_bridge(world):
        with world.bridge():
            scenario(world)

    return with_bridge


@bridged
def resumed_after_prune(world):
    first, transcript = begin_chat_and_prune(world)
    with world.step("resolve advises to resume the pruned chat's session"):
        expect(world.resolve(), state="pruned", advice="resume", session=first)
    with world.step("the CLI goes on in the same session, and the model sees both turns"):
        world.say("Question two", stream=True)
        expect(world.mapped_session(), first)
        world.expect_resumed()
    if world.program == "gemini":
        with world.step("the session is still there after the next start"):
            world.run_cli("--list-sessions")
            world.expect_first_turn_in(transcript)
    replayed_after_deletion(world, first)
    with world.step("the new session goes on"):
        second = world.mapped_session()
        world.say("Question four")
        expect(world.mapped_session(), second)
        world.expect_resumed()


@bridged
def replayed_for_safety(world):
    """Gemini CLI as it comes: from 0.52 to 0.61 it would delete a session that was resumed."""
    first, transcript = begin_chat_and_prune(world)
    with world.step("resolve advises against resuming while Gemini's own clean-up is on"):
        expect(world.resolve(), state="pruned", advice="replay", session=first)
    with world.step("the model is told the whole history, in a new session"):
        world.say("Question two", stream=True)
        world.expect_replayed()
        expect_other(world.mapped_session(), first)
    with world.step("the old session is still there after the next start"):
        world.run_cli("--list-sessions")
        world.expect_first_turn_in(transcript)
    replayed_after_deletion(world, world.mapped_session())


@bridged
def deleted_when_resumed(world):
    """What `replayed_for_safety` is about: without this, its checks would prove nothing."""
    first, transcript = begin_chat_and_prune(world)
    with world.step("resumed against the advice, the conversation is deleted at the next start"):
        world.run_cli("--output-format=json", f"--resume={first}", "--prompt=Question two")
        world.expect_first_turn_in(transcript)
        world.run_cli("--list-sessions")
        question = world.first_turn()[0]
        expect([path for path in world.transcripts(first) if question in path.read_text()], [])


@bridged
def resumed_after_archive(world):
    """A transcript that was archived, removed and put back is as good as before."""
    with world.step("a conversation, and a newer one of the same project"):
        world.say("Question one")
        first, history = world.mapped_session(), list(world.history)
        # What a map leads to, or led to, stays on the disk.
        world.forget_map()
        world.say("Another question")
        expect_other(world.mapped_session(), first)
    [transcript] = world.transcripts(first)
    before = transcript.read_bytes(), transcript.stat().st_mtime_ns
    with world.step("its transcript goes into the archive, and the newer one stays"):
        retention = f"SESSION_SWEEP_ARTIFACTS_{world.program.upper()}_TRANSCRIPTS_RETENTION"
        world.environment |= {retention: "1s", "SESSION_SWEEP_ARTIFACTS_KEEP_LAST": "1"}
        wait_for(lambda: world.sweep("artifacts", "prune", "--yes", "--yes-most") and not world.transcripts(first), 90)
        expect(len(world.transcripts(world.mapped_session())), 1)
    with world.step("restore puts it back to the byte and the nanosecond"):
        world.sweep("artifacts", "restore", first)
        expect((transcript.read_bytes(), transcript.stat().st_mtime_ns), before)
    with world.step("the CLI goes on in it, and the model sees both turns"):
        world.sweep("record", f"--model={world.program}-cli", f"--chat={CHAT}", f"--session={first}")
        world.history = history
        world.say("Question two")
        expect(world.mapped_session(), first)
        world.expect_resumed()


def begin_chat_and_prune(world):
    """The first turn's session and its transcript; the chat is not in the map any more."""
    with world.step("the first turn's session is recorded"):
        world.say("Question one")
        session = world.mapped_session()
        [transcript] = world.transcripts(session)
        world.expect_first_turn_in(transcript)
    with world.step("prune keeps the mapping, and after three hours removes it; the transcript stays"):
        world.sweep("prune")
        expect(world.mapped_session(), session)
        world.set_back(THREE_HOURS)
        [transcript] = world.transcripts(session)
        world.sweep("prune")
        expect(world.mapped_session(), None)
        world.expect_first_turn_in(transcript)
    return session, transcript


def replayed_after_deletion(world, session):
    with world.step("without its transcript resolve advises to replay"):
        for transcript in world.transcripts(session):
            transcript.unlink()
        expect(world.resolve(), state="gone", advice="replay")
    with world.step("the model is told the whole history, and the new session is recorded"):
        world.say("Question three")
        world.expect_replayed()
        expect_other(world.mapped_session(), session)
        expect(world.resolve()["session"], world.mapped_session())


def numbered_by_session(world):
    """What the CLI runs is told the session's id, and that is what its number is remembered by."""
    with world.step("a session registers itself, and is number 1"):
        first = world.ask("registry identify --next --role A --json")
        expect(world.identities(), {f"{world.program}-{first}.json": 1})
        expect(world.registered(), {1: ("A", 1)})
    with world.step("resumed, it is number 1 again"):
        expect(world.ask("registry heartbeat", resume=first), first)
        expect(world.registered(), {1: ("A", 2)})
    with world.step("another session is number 2"):
        second = world.ask("registry identify --next --role B --json")
        expect(world.identities(), {f"{world.program}-{first}.json": 1, f"{world.program}-{second}.json": 2})
        expect(world.registered(), {1: ("A", 2), 2: ("B", 1)})
    if world.program == "codex":
        with world.step("at a terminal that Codex makes for one command, it still is"):
            world.ask("registry heartbeat --json", resume=second, how="run at a terminal")
            expect(world.registered(), {1: ("A", 2), 2: ("B", 2)})


def numbered_by_window(world):
    """What the CLI runs is told no session's id, and may be at a terminal of its own: the CLI's own one counts."""
    with world.step("a session in a window registers itself, and is number 1"):
        world.have_run_in_a_window("registry identify --next --role A --json")
        expect(world.registered(), {1: ("A", 1)})
    with world.step("in another window it is number 2, in one run after the other"):
        world.have_run_in_a_window("registry identify --next --role B --json", "registry heartbeat --json")
        expect(world.registered(), {1: ("A", 1), 2: ("B", 2)})
        expect(sorted((name[:4], number) for name, number in world.identities().items()), [("tty-", 1), ("tty-", 2)])


def recorded_by_the_plugin(world):
    """The plugin's hooks record which process a session is, its signs of life and its end."""
    with world.step("Claude Code finds nothing wrong with the plugin and its marketplace"):
        for folder in (PLUGIN, REPOSITORY):
            world.run_cli("plugin", "validate", folder)
    with world.step("its command is told to the model"):
        world.run_cli(f"--plugin-dir={PLUGIN}", "--print", "/session-sweep:cleanup report")
        told = [text for _, text in world.model.conversations[-1] if "session-sweep processes clean --dry-run" in text]
        expect(any("The user asked for: `report`." in text for text in told), True)
    with world.session() as session:
        with world.step("a session's record names the CLI's own process"):
            session.take_turn("Question one")
            record = session.record()
            expect(record, pid=session.pid, proc_start=start_of(session.pid), working_dir=str(world.work))
            expect(record.get("status") in (None, "active"), True)
        with world.step("the end of a turn is a sign of life, and no end"):
            time.sleep(1.1)  # the record has whole seconds
            session.take_turn("Question two")
            later = session.record()
            expect(later["last_heartbeat"] > record["last_heartbeat"], True)
            expect(later, pid=session.pid, start_time=record["start_time"], status=record.get("status"))
        with world.step("its end completes the record"):
            session.leave()
            # Older ones do not wait for that hook.
            wait_for(lambda: session.record().get("status") == "completed")


def cleaned_up_after_kill(world):
    """What a killed session leaves behind is ended, and nothing of another one."""
    with world.session() as killed, world.session() as other:
        with world.step("two sessions start a server each"):
            for session in (killed, other):
                session.take_turn("Question one")
            # Older ones do not tell a server which session it belongs to: that shows by a sign of life after its start.
            time.sleep(2.1)
            for session in (killed, other):
                session.take_turn("Question two")
            left, kept = killed.server(), other.server()
            world.scan(0)
        with world.step("killed, the one leaves its server behind"):
            killed.kill()
            expect(runs(left), True)
        with world.step("a scan names it, and not the other one's"):
            found = world.scan(1)
            expect(left in found, True)
            expect(kept in found or other.pid in found, False)
        with world.step("a cleanup ends it, and removes the record"):
            world.sweep("processes", "clean", "--auto")
            expect(runs(left), False)
            expect(killed.metadata().exists(), False)
        with world.step("the other session and its server go on"):
            expect(runs(kept), True)
            other.take_turn("Question three")
            expect(other.record(), pid=other.pid)
            world.scan(0)


PROVIDERS = {
    # program: the store, where a session's transcript is in it, and the ways to try it
    "claude": (".claude", "projects/*/{id}.jsonl", [(resumed_after_prune, use_claude)]),
    "codex": (".codex", "sessions/*/*/*/rollout-*-{id}.jsonl", [(resumed_after_prune, use_codex)]),
    "gemini": (
        ".gemini",
        "tmp/*/chats/session-*-{id:.8}.json*",
        [(resumed_after_prune, use_gemini_without_retention), (replayed_for_safety, use_gemini)],
    ),
}


def scenarios(is_alone):
    for line in (HERE / "versions").read_text().splitlines():
        if line and not line.startswith("#"):
            program, _, version = line.split()
            numbers = tuple(map(int, version.split(".")))
            for scenario, use in PROVIDERS[program][2]:
                yield program, version, scenario, use
            if program == "gemini" and numbers >= (0, 52, 0):
                yield program, version, deleted_when_resumed, use_gemini
            if program == "claude":
                yield program, version, recorded_by_the_plugin, use_claude
                if is_alone and not is_service():
                    yield program, version, cleaned_up_after_kill, use_claude
            yield program, version, resumed_after_archive, PROVIDERS[program][2][0][1]
            is_told = program == "codex" or program == "claude" and numbers >= (2, 1, 132)
            yield program, version, numbered_by_session if is_told else numbered_by_window, PROVIDERS[program][2][0][1]


# What they are made of.


class Failed(Exception):
    """A step did not go as it should."""


def expect(found, *wanted, **members):
    if wanted and found != wanted[0]:
        raise Failed(f"expected {wanted[0]!r}, found {found!r}")
    if any(found.get(name) != value for name, value in members.items()):
        raise Failed(f"expected {members!r} in {found!r}")


def expect_other(found, unwanted):
    if found in (None, unwanted):
        raise Failed(f"expected another value than {unwanted!r}, found {found!r}")


def start_of(pid):
    """When a process started, in ticks."""
    return int(pathlib.Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[19])


def runs(pid):
    try:
        return pathlib.Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] not in "ZX"
    except FileNotFoundError:
        return False


def is_service():
    """This runs within a service, whose processes are never ended."""
    return ".service" in pathlib.Path("/proc/self/cgroup").read_text()


def wait_for(what, seconds=30):
    """Waits until this is true."""
    end = time.monotonic() + seconds
    while not (found := what()):
        if time.monotonic() > end:
            raise Failed(f"{what} waited for {seconds} s")
        time.sleep(0.1)
    return found


class Session:
    """Claude Code with our plugin and a server, for several turns."""

    def __init__(self, world):
        self.world = world
        servers = {"mcpServers": {"stays": {"command": sys.executable, "args": [str(HERE / "mcp_server.py")]}}}
        options = [f"--plugin-dir={PLUGIN}", "--mcp-config", json.dumps(servers), "--verbose"]
        streams = ["--print", "--input-format=stream-json", "--output-format=stream-json"]
        program = shutil.which(world.program, path=world.environment["PATH"])
        pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "stderr": subprocess.DEVNULL, "text": True}
        # In a session of its own, as what belongs to the one that a cleanup runs in stays.
        self.process = subprocess.Popen(
            [program, *options, *streams], cwd=world.work, env=world.environment, start_new_session=True, **pipes
        )
        self.pid, self.id = self.process.pid, None

    def take_turn(self, text):
        message = {"role": "user", "content": [{"type": "text", "text": text}]}
        print(json.dumps({"type": "user", "message": message}), file=self.process.stdin, flush=True)
        for line in self.process.stdout:
            answer = json.loads(line)
            if answer["type"] == "result":
                expect(answer, is_error=False)
                self.id = answer["session_id"]
                return
        raise Failed("the CLI ended")

    def metadata(self):
        return self.world.home / ".claude" / "sessions" / self.id / "metadata.json"

    def record(self):
        return json.loads(self.metadata().read_text())

    def server(self):
        """The server's pid."""

        def child():
            for folder in pathlib.Path("/proc").glob("[0-9]*"):
                with contextlib.suppress(OSError):
                    arguments = (folder / "cmdline").read_bytes().split(b"\0")
                    parent = (folder / "stat").read_text().rpartition(")")[2].split()[1]
                    if str(HERE / "mcp_server.py").encode() in arguments[1:2] and int(parent) == self.pid:
                        return int(folder.name)
            return None

        return wait_for(child)

    def leave(self):
        self.process.stdin.close()
        expect(self.process.wait(timeout=30), 0)

    def kill(self):
        self.process.kill()
        self.process.wait()


class Score:
    passed = 0
    failed = 0


class World:
    """A home for one CLI, a map, a registry, a bridge, and one chat."""

    def __init__(self, folder, installed, session_sweep, model, program, version, scenario, use):
        self.model, self.program = model, program
        self.name = f"{program} {version}, {scenario.__name__.replace('_', ' ')}"
        self.store, self.pattern, _ = PROVIDERS[program]
        self.home, self.work, self.maps = folder / "home", folder / "home" / "work", folder / "maps"
        self.tools, self.registry, temporary = folder / "tools", folder / "registry", folder / "tmp"
        for made in (self.work, self.maps, self.tools, temporary):
            made.mkdir(parents=True)
        node = subprocess.run(["node", "-p", "process.execPath"], check=True, capture_output=True, text=True).stdout
        (self.tools / "node").symlink_to(node.strip())
        (self.tools / "session-sweep").symlink_to(session_sweep)
        programs = installed / f"{program}-{version}" / "node_modules" / ".bin"
        self.environment = {
            "HOME": str(self.home),
            "PATH": f"{programs}:{self.tools}:/usr/bin:/bin",
            "LANG": "C.UTF-8",
            "TMPDIR": str(temporary),
            "CLAUDE_SESSION_DIR": str(self.maps),
            "SESSION_REGISTRY_DIR": str(self.registry),
            # What the test of processes starts is young.
            "SESSION_SWEEP_PROCESSES_MIN_AGE": "1s",
            "SESSION_SWEEP_PROCESSES_STALE": "1s",
            "SESSION_SWEEP_PROCESSES_HEARTBEAT_INTERVAL": "1s",
            "IS_SANDBOX": "1",  # without it, Claude Code refuses to go without asking as root
            **use(self.home, model.url),
        }
        self.log = folder / "log"
        self.log.touch()
        self.history = []
        self.address = None

    @contextlib.contextmanager
    def bridge(self):
        command = [sys.executable, BRIDGE, "--port=0", f"--cwd={self.work}"]
        with self.log.open("w") as log:
            bridge = subprocess.Popen(command, env=self.environment, stdout=subprocess.PIPE, stderr=log, text=True)
        try:
            with self.step("the bridge starts"):
                self.address = urllib.parse.urlsplit(bridge.stdout.readline().split()[-1]).netloc
            yield
        finally:
            bridge.terminate()
            with contextlib.suppress(subprocess.TimeoutExpired):
                bridge.wait(timeout=5)
            self.end_what_is_left()
            bridge.communicate()

    @contextlib.contextmanager
    def session(self):
        session = Session(self)
        try:
            yield session
        finally:
            session.kill()
            for pipe in (session.process.stdin, session.process.stdout):
                with contextlib.suppress(OSError):
                    pipe.close()

    def scan(self, status):
        """Looks for what is left over, with 1 until there is something. Returns the pids that are named."""

        def scanned():
            command = [self.tools / "session-sweep", "processes", "scan", "--json"]
            ended = subprocess.run(command, cwd=self.work, env=self.environment, capture_output=True, text=True)
            if ended.returncode not in (0, 1) or status == 0 and ended.returncode == 1:
                raise Failed(ended)
            return ended if ended.returncode == status else None

        report = json.loads(wait_for(scanned).stdout)
        return [process["pid"] for process in report["processes"] if process["verdict"] == "orphaned"]

    @contextlib.contextmanager
    def step(self, what):
        try:
            yield
        except Exception as problem:
            Score.failed += 1
            print(f"FAILED  {self.name}: {what}\n        {problem!r}", flush=True)
            raise Failed from problem
        Score.passed += 1
        print(f"ok      {self.name}: {what}", flush=True)

    def say(self, text, stream=False):
        """Sends the chat with one more message, and keeps the answer."""
        # The name makes it different from what is said elsewhere.
        self.history.append({"role": "user", "content": f"{text} ({self.name})?"})
        request = {"model": f"{self.program}-cli", "messages": self.history, "stream": stream}
        connection = http.client.HTTPConnection(self.address, timeout=120)
        headers = {"content-type": "application/json", "x-chat-id": CHAT}
        connection.request("POST", "/v1/chat/completions", json.dumps(request), headers)
        response = connection.getresponse()
        content = response.read().decode()
        connection.close()
        if response.status != 200:
            raise Failed(f"{response.status}: {content}")
        if stream:
            events = [line.removeprefix("data: ") for line in content.split("\n\n") if line]
            expect(events.pop(), "[DONE]")
            answer = "".join(json.loads(event)["choices"][0]["delta"].get("content", "") for event in events)
        else:
            answer = json.loads(content)["choices"][0]["message"]["content"]
        self.history.append({"role": "assistant", "content": answer})

    def said(self):
        """The messages up to the newest question, and what the model was sent when it was asked that."""
        *earlier, newest = [message["content"] for message in self.history[:-1]]
        for conversation in reversed(self.model.conversations):
            for place, (role, text) in enumerate(conversation):
                if role == "user" and newest in text:
                    return earlier, [text for _, text in conversation[:place]], text
        raise Failed(f"the model was never asked {newest!r}")

    def expect_resumed(self):
        """The model was sent every earlier message as a turn of its own."""
        earlier, turns, _ = self.said()
        for message in earlier:
            if not any(message in turn for turn in turns):
                raise Failed(f"{message!r} is not among the earlier turns {turns!r}")

    def expect_replayed(self):
        """The model was sent all earlier messages within one."""
        earlier, _, question = self.said()
        for message in earlier:
            if message not in question:
                raise Failed(f"{message!r} is not in {question!r}")

    def transcripts(self, session):
        """The session's files: Gemini CLI may have more than one."""
        return list((self.home / self.store).glob(self.pattern.format(id=session)))

    def first_turn(self):
        return [message["content"] for message in self.history[:2]]

    def expect_first_turn_in(self, transcript):
        """The file is there, with the first question and its answer in it."""
        expect([text for text in self.first_turn() if text in transcript.read_text()], self.first_turn())

    def forget_map(self):
        for path in self.maps.iterdir():
            path.unlink()

    def mapped_session(self):
        return json.loads((self.maps / "session_map.json").read_text()).get(f"{self.program}-cli", {}).get(CHAT)

    def set_back(self, seconds):
        """Makes all that the CLI has stored look older."""
        then = time.time() - seconds
        for path in (self.home / self.store).rglob("*"):
            if not path.is_symlink():
                os.utime(path, (then, then))
        # The danger is there only in a later minute than the one that Gemini CLI wrote into the name.
        if self.program == "gemini":
            stamp = time.strftime("%Y-%m-%dT%H-%M", time.gmtime(then))
            for path in self.transcripts(self.mapped_session()):
                path.rename(path.with_name(f"session-{stamp}-{path.name.rpartition('-')[2]}"))

    def running(self, command, resume=None, how="run"):
        """The command line by which the CLI runs session-sweep with its own tool, past the bridge."""
        question = f"{how}: {self.tools}/session-sweep {command}"  # with its path, as Codex starts a login shell
        resumed = []
        if resume:
            resumed = {"claude": [f"--resume={resume}"], "codex": ["resume", resume]}[self.program]
        unasked = "--dangerously-bypass-approvals-and-sandbox"
        options = {
            "claude": ["--dangerously-skip-permissions", "--output-format=json", *resumed, "--print"],
            "codex": ["exec", "--json", "--skip-git-repo-check", unasked, *resumed],
            "gemini": ["--yolo", "--prompt"],
        }[self.program]
        return [shutil.which(self.program, path=self.environment["PATH"]), *options, question]

    def ask(self, command, **options):
        """Has the CLI run session-sweep. Returns the session's id."""
        answer = json.loads(self.run(*self.running(command, **options)).splitlines()[0])
        return answer["session_id" if self.program == "claude" else "thread_id"]

    def have_run_in_a_window(self, *commands):
        """Has the CLI run session-sweep, once for each of these, in a window that is closed then."""
        line = " && ".join(shlex.join(self.running(command)) for command in commands)
        self.run(sys.executable, "-c", WINDOW, "sh", "-c", line)

    def identities(self):
        """The number that each file remembers, but for those of the CLIs' processes, which have ended."""
        files = (self.registry / ".session-sweep" / "identities").glob("*")
        lasting = [path for path in files if not path.name.startswith("process-")]
        return {path.name: json.loads(path.read_text())["number"] for path in lasting}

    def registered(self):
        """Every session's role, and how often it beat."""
        sessions = json.loads(self.sweep("registry", "list", "--json"))["sessions"]
        beats = [json.loads(path.read_text())["session_number"] for path in self.registry.glob("heartbeats/*.json")]
        return {session["number"]: (session["role"], beats.count(session["number"])) for session in sessions}

    def sweep(self, *arguments):
        return self.run(self.tools / "session-sweep", *arguments)

    def resolve(self):
        return json.loads(self.sweep("resolve", f"--model={self.program}-cli", f"--chat={CHAT}"))

    def run_cli(self, *arguments):
        """Starts the CLI past the bridge."""
        return self.run(shutil.which(self.program, path=self.environment["PATH"]), *arguments)

    def run(self, *command):
        options = {"stdin": subprocess.DEVNULL, "capture_output": True, "text": True, "timeout": 120}
        ended = subprocess.run(command, cwd=self.work, env=self.environment, **options)
        if ended.returncode != 0:
            raise Failed(ended)
        return ended.stdout

    def end_what_is_left(self):
        """Ends the processes that have this home: Codex may leave daemons behind."""
        home = f"HOME={self.home}".encode()
        for process in pathlib.Path("/proc").glob("[0-9]*"):
            with contextlib.suppress(OSError):
                if home in (process / "environ").read_bytes().split(b"\0"):
                    os.kill(int(process.name), signal.SIGKILL)


def main():
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
    session_sweep, installed, temporary = map(pathlib.Path, sys.argv[1:4])
    with ModelServer() as model:
        for number, scenario in enumerate(scenarios("--alone" in sys.argv[4:])):
            world = World(temporary / f"world-{number}", installed, session_sweep, model, *scenario)
            model.results.clear()
            try:
                scenario[2](world)
            except Failed:
                print(world.log.read_text()[-2000:], *model.results[-1:], sep="\n", flush=True)
            finally:
                world.end_what_is_left()
    print(f"real-cli: {Score.passed} passed, {Score.failed} failed")
    return 1 if Score.failed else 0


if __name__ == "__main__":
    sys.exit(main())
