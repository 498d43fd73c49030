"""What both drivers of python-socketio share: lines and binary (tests/js/stock/driver.mjs says what is in a line)."""

import base64
import json
import sys
import threading

_writing = threading.Lock()


def say(message):
    with _writing:
        sys.stdout.write(json.dumps(message) + "\n")
        sys.stdout.flush()


def from_line(value):
    if isinstance(value, dict):
        if "$binary" in value:
            return base64.b64decode(value["$binary"])
        return {key: from_line(inner) for key, inner in value.items()}
    return [from_line(inner) for inner in value] if isinstance(value, list) else value


def to_line(value):
    if isinstance(value, (bytes, bytearray)):
        return {"$binary": base64.b64encode(value).decode()}
    if isinstance(value, dict):
        return {key: to_line(inner) for key, inner in value.items()}
    return [to_line(inner) for inner in value] if isinstance(value, (list, tuple)) else value


def as_data(args):
    """Several arguments are a tuple; one or none are themselves."""
    args = from_line(args)
    return tuple(args) if len(args) != 1 else args[0]


OPTIONS = {"reconnection_delay": 0.05, "reconnection_delay_max": 0.2}


def connection(command):
    """The arguments of `connect`."""
    return {
        "url": command["url"],
        "transports": command["transports"],
        "namespaces": command["namespaces"],
        "auth": {"token": command["token"]},
        "wait_timeout": 10,
    }


def report_connections(client, name, namespaces):
    for namespace in namespaces:
        about = {"socket": name, "namespace": namespace}
        client.on("connect", lambda about=about: say({"report": "connect", **about}), namespace=namespace)
        client.on(
            "disconnect",
            lambda reason, about=about: say({"report": "disconnect", "reason": str(reason), **about}),
            namespace=namespace,
        )


def reporting(command):
    """A listener that reports, and acks with what it is told, or got."""
    about = {key: command[key] for key in ("socket", "namespace", "event")}

    def listener(*args):
        say({"report": "event", "args": to_line(args), **about})
        return tuple(from_line(command["ack"])) if "ack" in command else tuple(args)

    return listener
