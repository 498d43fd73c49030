"""The driver of python-socketio with asyncio."""

import asyncio
import json
import sys

import socketio

from driver import OPTIONS, as_data, connection, report_connections, reporting, say, to_line

clients = {}


async def carry_out(command):
    what = command["do"]
    if what == "connect":
        client = clients[command["socket"]] = socketio.AsyncClient(**OPTIONS)
        report_connections(client, command["socket"], command["namespaces"])
        return await client.connect(**connection(command))
    client = clients[command["socket"]]
    if what == "listen":
        return client.on(command["event"], reporting(command), namespace=command["namespace"]) and None
    if what == "emit":
        return await client.emit(command["event"], as_data(command["args"]), namespace=command["namespace"])
    if what == "ask":
        answered = asyncio.get_running_loop().create_future()
        await client.emit(
            command["event"],
            as_data(command["args"]),
            namespace=command["namespace"],
            callback=lambda *values: answered.set_result(values),
        )
        return to_line(await asyncio.wait_for(answered, 15))
    return await client.disconnect()


async def answer(command):
    try:
        say({"id": command["id"], "value": await carry_out(command)})
    except Exception as error:  # The test wants to know.
        say({"id": command["id"], "error": f"{type(error).__name__}: {error}"})


async def main():
    running = set()
    loop = asyncio.get_running_loop()
    while line := await loop.run_in_executor(None, sys.stdin.readline):
        task = asyncio.create_task(answer(json.loads(line)))
        running.add(task)
        task.add_done_callback(running.discard)
    for client in clients.values():
        await client.shutdown()


asyncio.run(main())
