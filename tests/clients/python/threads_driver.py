"""The driver of python-socketio with threads."""

import json
import sys
import threading

import socketio

from driver import OPTIONS, as_data, connection, report_connections, reporting, say, to_line

clients = {}


def carry_out(command):
    what = command["do"]
    if what == "connect":
        client = clients[command["socket"]] = socketio.Client(**OPTIONS)
        report_connections(client, command["socket"], command["namespaces"])
        return client.connect(**connection(command))
    client = clients[command["socket"]]
    if what == "listen":
        return client.on(command["event"], reporting(command), namespace=command["namespace"]) and None
    if what == "emit":
        return client.emit(command["event"], as_data(command["args"]), namespace=command["namespace"])
    if what == "ask":
        answered, values = threading.Event(), []

        def callback(*args):
            values.extend(args)
            answered.set()

        client.emit(command["event"], as_data(command["args"]), namespace=command["namespace"], callback=callback)
        if not answered.wait(15):
            raise TimeoutError("no ack")
        return to_line(values)
    return client.disconnect()


def answer(command):
    try:
        say({"id": command["id"], "value": carry_out(command)})
    except Exception as error:  # The test wants to know.
        say({"id": command["id"], "error": f"{type(error).__name__}: {error}"})


for line in sys.stdin:
    command = json.loads(line)
    # Over polling, a disconnect now and then waits for a poll that is answered late, from Node too.
    if command["do"] in ("ask", "disconnect"):
        threading.Thread(target=answer, args=(command,), daemon=True).start()
    else:
        answer(command)
for client in clients.values():
    client.shutdown()
sys.exit()
