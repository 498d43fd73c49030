"""Publishes through the Python package `socket.io-emitter` what comes as lines of JSON, and says so."""

import base64
import json
import sys

import redis
from socket_io_emitter import Emitter


def value(given):
    """JSON has no bytes: {"base64": "..."} stands for them."""
    if isinstance(given, dict):
        if set(given) == {"base64"}:
            return base64.b64decode(given["base64"])
        return {key: value(one) for key, one in given.items()}
    if isinstance(given, list):
        return [value(one) for one in given]
    return given


emitter = Emitter({"client": redis.Redis(port=int(sys.argv[1]))})
for line in sys.stdin:
    message = json.loads(line)
    target = emitter
    if "namespace" in message:
        target = target.Of(message["namespace"])
    for room in message.get("rooms", []):
        target = target.To(room)
    target.Emit(message["event"], *[value(one) for one in message.get("args", [])])
    print("published", flush=True)
