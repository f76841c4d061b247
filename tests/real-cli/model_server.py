"""A model on the loopback interface: answers every turn, and remembers what it was sent.

It speaks as much of three interfaces as Claude Code, Codex and Gemini CLI need to finish a turn:
Anthropic Messages, OpenAI Responses and Gemini generateContent, each as a stream and in one piece. Asked `run: COMMAND`
it first has the CLI run that by its own tool; `run at a terminal: COMMAND` is for Codex alone. As a proxy it lets
nothing through: with it in HTTPS_PROXY a CLI that looks for updates stays on this machine.
"""

import itertools
import json
import re
import threading
import uuid
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer


class ModelServer:
    """`with ModelServer() as model:` listens at `model.url` until the end of the block."""

    def __init__(self):
        self.conversations = []
        self.results = []  # of the commands that it had run
        self._numbers = itertools.count(1)
        handler = type("Handler", (_Handler,), {"model": self})
        self._server = ThreadingHTTPServer(("127.0.0.1", 0), handler)
        self._server.daemon_threads = True
        self.url = f"http://127.0.0.1:{self._server.server_port}"

    def __enter__(self):
        threading.Thread(target=self._server.serve_forever, daemon=True).start()
        return self

    def __exit__(self, *_):
        self._server.shutdown()
        self._server.server_close()

    def answer(self, conversation):
        """A text that no other request gets: seen again in a later one, it tells that this turn was in it."""
        self.conversations.append(conversation)
        return f"This is answer number {next(self._numbers)}."


def conversation_in(body):
    """What a request tells the model, as (role, text) in order, whichever of the three interfaces it belongs to."""
    turns = body.get("messages") or body.get("input") or body.get("contents") or []
    return [(turn.get("role"), text_in(turn.get("content") or turn.get("parts"))) for turn in turns]


def text_in(content):
    if isinstance(content, str):
        return content
    return "\n".join(part.get("text") or "" for part in content or [])


# What the command is called among the arguments of each CLI's tool that runs one.
SHELL_TOOLS = {
    "Bash": "command",  # Claude Code
    "exec_command": "cmd",  # Codex
    "run_shell_command": "command",  # Gemini CLI
}


def shell_call_in(body):
    """(The call that the newest question asks for, None), until there is its result: then (None, what that says)."""
    groups = [tool.get("functionDeclarations", [tool]) for tool in body.get("tools") or []]
    declared = SHELL_TOOLS.keys() & {tool.get("name") for group in groups for tool in group}
    for turn in reversed(body.get("messages") or body.get("input") or body.get("contents") or []):
        content = turn.get("content") or turn.get("parts") or ""
        for part in [turn] + ([{"text": content}] if isinstance(content, str) else content):
            if "functionResponse" in part:
                return None, str(part["functionResponse"]["response"])
            if part.get("type") in ("tool_result", "function_call_output"):
                return None, text_in(part.get("content") or part.get("output"))
            asked = re.fullmatch("run( at a terminal)?: (.+)", part.get("text") or "")
            if asked and declared and turn.get("role") == "user":
                name = min(declared)
                return (name, {SHELL_TOOLS[name]: asked[2], **({"tty": True} if asked[1] else {})}), None
    return None, None


class _Handler(BaseHTTPRequestHandler):
    model = None

    def log_message(self, *_):
        pass

    def do_HEAD(self):
        self.send_response(200)
        self.end_headers()

    def do_CONNECT(self):
        self.send_error(403)  # whoever sees a proxy asks this way for the world outside

    def do_GET(self):
        self.send_json(404, {"error": {"message": "not here"}})

    def do_POST(self):
        body = json.loads(self.rfile.read(int(self.headers.get("content-length") or 0)) or b"{}")
        path = self.path.partition("?")[0]
        if path.endswith("/v1/messages"):
            interface = anthropic_messages
        elif path.endswith("/v1/responses"):
            interface = openai_responses
        elif path.endswith((":generateContent", ":streamGenerateContent")):
            interface = gemini_content
        else:
            return self.do_GET()
        call, result = shell_call_in(body)
        if result is not None:
            self.model.results.append(result)
        whole, events = interface(body, self.model.answer(conversation_in(body)), call)
        if body.get("stream") or path.endswith(":streamGenerateContent"):
            self.send_events(events)
        else:
            self.send_json(200, whole)

    def send_json(self, status, value):
        content = json.dumps(value).encode()
        self.send_response(status)
        self.send_header("content-type", "application/json")
        self.send_header("content-length", str(len(content)))
        self.end_headers()
        self.wfile.write(content)

    def send_events(self, events):
        self.send_response(200)
        self.send_header("content-type", "text/event-stream")
        self.end_headers()
        for event in events:
            name = f"event: {event['type']}\n" if "type" in event else ""
            self.wfile.write(f"{name}data: {json.dumps(event)}\n\n".encode())


# Each of these gives the answer, which is a call if there is one, twice: in one piece, and as the events of a stream.


def anthropic_messages(body, text, call):
    usage = {"input_tokens": 1, "output_tokens": 1}
    block = {"type": "text", "text": text}
    empty, delta = {**block, "text": ""}, {"type": "text_delta", "text": text}
    end = {"stop_reason": "tool_use" if call else "end_turn", "stop_sequence": None}
    if call:
        block = {"type": "tool_use", "id": f"toolu_{uuid.uuid4().hex}", "name": call[0], "input": call[1]}
        empty, delta = {**block, "input": {}}, {"type": "input_json_delta", "partial_json": json.dumps(call[1])}
    message = {"id": "msg_1", "type": "message", "role": "assistant", "model": body.get("model"), "usage": usage}
    beginning = {**message, "content": [], "stop_reason": None, "stop_sequence": None}
    return {**message, **end, "content": [block]}, [
        {"type": "message_start", "message": beginning},
        {"type": "content_block_start", "index": 0, "content_block": empty},
        {"type": "content_block_delta", "index": 0, "delta": delta},
        {"type": "content_block_stop", "index": 0},
        {"type": "message_delta", "delta": end, "usage": usage},
        {"type": "message_stop"},
    ]


def openai_responses(body, text, call):
    usage = {"input_tokens": 1, "output_tokens": 1, "total_tokens": 2}
    content = [{"type": "output_text", "text": text, "annotations": []}]
    item = {"type": "message", "id": "msg_1", "role": "assistant", "status": "completed", "content": content}
    if call:
        item = {"type": "function_call", "id": "fc_1", "call_id": f"call_{uuid.uuid4().hex}", "name": call[0]}
        item |= {"arguments": json.dumps(call[1]), "status": "completed"}
    response = {"id": "resp_1", "object": "response", "model": body.get("model"), "usage": usage, "output": [item]}
    return {**response, "status": "completed"}, [
        {"type": "response.created", "response": {**response, "status": "in_progress", "output": []}},
        {"type": "response.output_item.done", "output_index": 0, "item": item},
        {"type": "response.completed", "response": {**response, "status": "completed"}},
    ]


def gemini_content(_body, text, call):
    part = {"functionCall": {"name": call[0], "args": call[1]}} if call else {"text": text}
    candidate = {"index": 0, "finishReason": "STOP", "content": {"role": "model", "parts": [part]}}
    usage = {"promptTokenCount": 1, "candidatesTokenCount": 1, "totalTokenCount": 2}
    response = {"candidates": [candidate], "usageMetadata": usage}
    return response, [response]
