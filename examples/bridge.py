#!/usr/bin/env python3
"""A bridge from an OpenAI-compatible chat API to Claude Code, Codex and Gemini CLI.

    examples/bridge.py --port 8000 --cwd ~/work

It keeps no map in memory: it asks `session-sweep resolve` how to go on with a chat, and tells `session-sweep record`
which session a chat is in. docs/bridge.md explains both. The CLIs and session-sweep are taken from PATH; the map is
where session-sweep finds it. Whoever reaches the port can use the CLIs, with all that they may do on this machine:
it listens on the loopback interface only, and has no other protection.
"""

import argparse
import contextlib
import fcntl
import json
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import threading
import time
import uuid
import weakref
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import parse_qs, unquote, urlsplit

VERSION = "1.0"
LARGEST_REQUEST = 32 << 20
CHAT_HEADERS = ["x-openwebui-chat-id", "x-chat-id", "x-conversation-id"]

# From here to the end of `record`, this stands in docs/bridge.md too.

TIME_LIMIT = 600  # seconds for one answer


def run(command, cwd=None, text=""):
    """Runs a CLI with `text` as its stdin. When its time is up, it ends with all that it started."""
    pipes = dict(stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    with subprocess.Popen(command, cwd=cwd, start_new_session=True, **pipes) as cli:
        try:
            out, errors = cli.communicate(text, timeout=TIME_LIMIT)
        except subprocess.TimeoutExpired:
            os.killpg(cli.pid, signal.SIGKILL)
            raise
    return subprocess.CompletedProcess(command, cli.returncode, out, errors)


def go_on(model, chat, text):
    """The CLI's answer in the old session, or None: send the whole history to a new one."""
    ask = ["session-sweep", "resolve", f"--model={model}", f"--chat={chat}"]
    asked = subprocess.run(ask, capture_output=True, text=True)
    answer = json.loads(asked.stdout) if asked.returncode == 0 else {"advice": "replay"}
    if answer["advice"] != "resume" or not os.path.isdir(answer["cwd"] or "."):
        return None
    command = [word.replace("{prompt}", text) for word in answer["command"]]
    return run(command, answer["cwd"])


def record(model, chat, session):
    tell = ["session-sweep", "record", f"--model={model}", f"--chat={chat}", f"--session={session}"]
    subprocess.run(tell, check=True, stdout=subprocess.DEVNULL)


# The CLIs: what begins a session, and where the answer and the session's id are in what comes out.


class CliFailed(Exception):
    """The CLI ran and gave no answer."""


def read_claude(output):
    result = json.loads(output)
    if result.get("is_error"):
        raise CliFailed(result.get("result"))
    return result["result"], result["session_id"]


def read_codex(output):
    answer, session = None, None
    for line in output.splitlines():
        event = json.loads(line)
        if event["type"] == "thread.started":
            session = event["thread_id"]
        elif event["type"] == "item.completed" and event["item"]["type"] == "agent_message":
            answer = event["item"]["text"]
        elif event["type"] == "turn.failed":
            raise CliFailed(event["error"]["message"])
    if answer is None:
        raise CliFailed("it ended without an answer")
    return answer, session


def read_gemini(output):
    result = json.loads(output)
    if result.get("error"):
        raise CliFailed(result["error"].get("message"))
    return result["response"], result["session_id"]


# These read the message from stdin, where no length is too much and nothing can be taken for an option.
CLIS = {
    "claude-cli": (["claude", "-p", "--output-format", "json"], read_claude),
    "codex-cli": (["codex", "exec", "--skip-git-repo-check", "--json", "-"], read_codex),
    "gemini-cli": (["gemini", "-o", "json"], read_gemini),
}


def read(model, ended):
    """The answer and the session of a CLI that has ended."""
    if ended.returncode != 0:
        raise CliFailed(f"exit code {ended.returncode}: {(ended.stderr or ended.stdout).strip()[-500:]}")
    try:
        return CLIS[model][1](ended.stdout)
    except (ValueError, LookupError, TypeError) as problem:
        raise CliFailed(f"its output was not understood: {problem!r}") from problem


def resume(model, chat, text):
    """The answer from the chat's old session, or None where that cannot be had."""
    try:
        ended = go_on(model, chat, text)
        return ended and read(model, ended)
    except (CliFailed, OSError, ValueError) as problem:
        # OSError, ValueError: a message that cannot be an argument; as stdin it can.
        log(f"{model} could not resume, the whole history is sent again: {problem}")
        return None


def begin(model, messages):
    """The answer from a new session that was told everything."""
    return read(model, run(CLIS[model][0], text=whole_history(messages)))


def answer_to(model, chat, messages):
    """The model's answer; `chat` may be None: then no session is remembered."""
    if chat is None:
        return begin(model, messages)[0]
    with turn_of(chat):
        answer, session = resume(model, chat, messages[-1][1]) or begin(model, messages)
        try:
            record(model, chat, session)
        except (subprocess.CalledProcessError, OSError, ValueError) as problem:
            log(f"the session was not recorded, so the next message will send the whole history: {problem}")
    return answer


def whole_history(messages):
    if len(messages) == 1:
        return messages[0][1]
    said = "\n\n".join(f"{role.capitalize()}: {text}" for role, text in messages)
    return f"This is a conversation so far. Answer its last message.\n\n{said}"


turns = weakref.WeakValueDictionary()
turns_guard = threading.Lock()


def turn_of(chat):
    """A lock for the chat: two messages at once would go to one session, or make two."""
    with turns_guard:
        return turns.setdefault(chat, threading.Lock())


# The map's file, for those who ask what is in it. Only the nested form is read, which `record` makes.


def map_file():
    """Where session-sweep finds the map: CLAUDE_SESSION_DIR, its configuration, or its default."""
    shown = subprocess.run(["session-sweep", "config", "show", "--json"], check=True, stdout=subprocess.PIPE)
    settings = {setting["key"]: setting["value"] for setting in json.loads(shown.stdout)["settings"]}
    return os.path.join(settings["map.dir"], "session_map.json")


def read_map(path):
    try:
        with open(path, encoding="utf-8") as file:
            return json.load(file)
    except FileNotFoundError:
        return {}


def forget(path, chat, models):
    """Removes the chat's mappings; returns the models that had one. A pruned chat has none, and stays resumable."""
    with locked(path):
        sessions = read_map(path)
        found = [model for model in models if sessions.get(model, {}).pop(chat, None) is not None]
        if found:
            replace(path, json.dumps(sessions))
    return found


@contextlib.contextmanager
def locked(path):
    """Keeps session-sweep from changing the map."""
    lock = os.open(path.removesuffix(".json") + ".lock", os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600)
    try:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield
    finally:
        os.close(lock)


def replace(path, text):
    """Others find the old file or the new one, never half of it."""
    with tempfile.NamedTemporaryFile("w", dir=os.path.dirname(path), delete=False) as file:
        try:
            file.write(text)
            file.flush()
            os.fsync(file.fileno())
            shutil.copymode(path, file.name)
            os.replace(file.name, path)
        except BaseException:
            os.unlink(file.name)
            raise


# HTTP.


class Refused(Exception):
    """A request that is answered with an error."""

    def __init__(self, status, message):
        super().__init__(message)
        self.status = status


class Handler(BaseHTTPRequestHandler):
    timeout = 60  # for the request itself; a connection that sends none does not stay

    def do_GET(self):
        self.answer(self.get)

    def do_POST(self):
        self.answer(self.post)

    def do_DELETE(self):
        self.answer(self.delete)

    def answer(self, method):
        url = urlsplit(self.path)
        try:
            method(url.path, parse_qs(url.query))
        except Refused as problem:
            self.send_problem(problem.status, "invalid_request_error", problem)
        except CliFailed as problem:
            self.send_problem(502, "server_error", f"the CLI failed: {problem}")
        except subprocess.TimeoutExpired:
            self.send_problem(504, "server_error", f"the CLI gave no answer within {TIME_LIMIT} seconds")
        except ConnectionError:
            pass
        except Exception as problem:
            self.send_problem(500, "server_error", repr(problem))

    def get(self, path, _query):
        sessions = {model: read_map(self.server.map_file).get(model, {}) for model in CLIS}
        if path == "/":
            count = sum(len(chats) for chats in sessions.values())
            about = {"message": "session-sweep example bridge", "version": VERSION, "status": "running"}
            self.send_json(200, {**about, "active_sessions": count})
        elif path == "/sessions":
            self.send_json(200, {"sessions": sessions})
        elif path == "/v1/models":
            models = [{"id": model, "object": "model", "created": 0, "owned_by": "bridge"} for model in CLIS]
            self.send_json(200, {"object": "list", "data": models})
        else:
            raise Refused(404, f"there is no {path}")

    def delete(self, path, query):
        folder, _, chat = path.rpartition("/")
        if folder != "/sessions":
            raise Refused(404, f"there is no {path}")
        models = [known_model(model) for model in query.get("model", CLIS)]
        found = forget(self.server.map_file, unquote(chat), models)
        if not found:
            raise Refused(404, "Session not found")
        self.send_json(200, {"status": "deleted", "chat_id": unquote(chat), "models": found})

    def post(self, path, _query):
        if path != "/v1/chat/completions":
            raise Refused(404, f"there is no {path}")
        request = self.read_request()
        model, messages = known_model(request.get("model")), messages_in(request)
        chat = next((self.headers[name] for name in CHAT_HEADERS if self.headers[name]), None)
        text = answer_to(model, chat, messages)
        if request.get("stream"):
            self.send_stream(model, text)
        else:
            choice = {"index": 0, "message": {"role": "assistant", "content": text}, "finish_reason": "stop"}
            self.send_json(200, {**completion(model, "chat.completion"), "choices": [choice]})

    def read_request(self):
        # A page in a browser may send a form or plain text to any address, but JSON only where it is let.
        if self.headers.get_content_type() != "application/json":
            raise Refused(415, "the request must be application/json")
        length = self.headers["content-length"] or ""
        if not length.isdecimal():
            raise Refused(411, "the request must have a Content-Length")
        if int(length) > LARGEST_REQUEST:
            raise Refused(413, f"the request is larger than {LARGEST_REQUEST} bytes")
        try:
            request = json.loads(self.rfile.read(int(length)))
        except ValueError as problem:
            raise Refused(400, f"the request is no JSON: {problem}") from problem
        if not isinstance(request, dict):
            raise Refused(400, "the request must be an object")
        return request

    def send_stream(self, model, text):
        """The CLIs give their answer as a whole, so it is one piece of the stream, too."""
        self.send_response(200)
        self.send_header("content-type", "text/event-stream")
        self.send_header("cache-control", "no-cache")
        self.end_headers()
        head = completion(model, "chat.completion.chunk")
        for delta, reason in [({"role": "assistant", "content": text}, None), ({}, "stop")]:
            choice = {"index": 0, "delta": delta, "finish_reason": reason}
            self.wfile.write(f"data: {json.dumps({**head, 'choices': [choice]})}\n\n".encode())
        self.wfile.write(b"data: [DONE]\n\n")

    def send_problem(self, status, kind, problem):
        self.send_json(status, {"error": {"message": str(problem), "type": kind, "param": None, "code": None}})

    def send_json(self, status, value):
        content = json.dumps(value).encode()
        self.send_response(status)
        self.send_header("content-type", "application/json")
        self.send_header("content-length", str(len(content)))
        self.end_headers()
        self.wfile.write(content)


def known_model(model):
    if not isinstance(model, str) or model not in CLIS:
        raise Refused(400, f"unsupported model {model!r}: there are {', '.join(CLIS)}")
    return model


def messages_in(request):
    """The conversation as (role, text); the last message is the user's, and says something."""
    messages = request.get("messages")
    if not isinstance(messages, list) or not all(isinstance(message, dict) for message in messages):
        raise Refused(400, "messages must be a list of objects")
    conversation = [(str(message.get("role")), text_of(message.get("content"))) for message in messages]
    if not conversation or conversation[-1][0] != "user" or not conversation[-1][1].strip():
        raise Refused(400, "the last message must be the user's, with text")
    return conversation


def text_of(content):
    if content is None or isinstance(content, str):
        return content or ""
    parts = content if isinstance(content, list) else [content]
    if not all(isinstance(part, dict) and isinstance(part.get("text"), str) for part in parts):
        raise Refused(400, "a message must be text")
    return "\n".join(part["text"] for part in parts)


def completion(model, kind):
    return {"id": f"chatcmpl-{uuid.uuid4().hex}", "object": kind, "created": int(time.time()), "model": model}


def log(text):
    print(text, file=sys.stderr, flush=True)


class Server(ThreadingHTTPServer):
    daemon_threads = False  # when asked to end, it first gives the answers that it owes, and records their sessions


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--port", type=int, default=8000, help="0: any that is free [default: 8000]")
    parser.add_argument("--cwd", default=".", help="the folder that new sessions work in [default: this one]")
    arguments = parser.parse_args()
    os.chdir(arguments.cwd)
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    with contextlib.suppress(KeyboardInterrupt), Server(("127.0.0.1", arguments.port), Handler) as server:
        server.map_file = map_file()
        print(f"listening on http://127.0.0.1:{server.server_port}", flush=True)
        server.serve_forever()


if __name__ == "__main__":
    main()
