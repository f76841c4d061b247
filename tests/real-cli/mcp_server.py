"""A server of the Model Context Protocol without any tools, which does not notice when nobody talks to it any more."""

import json
import signal
import sys

for line in sys.stdin:
    request = json.loads(line)
    result = {}
    if request["method"] == "initialize":
        result = {"capabilities": {"tools": {}}, "serverInfo": {"name": "stays", "version": "1"}}
        result["protocolVersion"] = request["params"]["protocolVersion"]
    elif request["method"] == "tools/list":
        result = {"tools": []}
    if "id" in request:
        print(json.dumps({"jsonrpc": "2.0", "id": request["id"], "result": result}), flush=True)
while True:
    signal.pause()
