import io.socket.client.Ack;
import io.socket.client.Manager;
import io.socket.client.Socket;
import java.io.BufferedReader;
import java.io.InputStreamReader;
import java.io.PrintStream;
import java.net.URI;
import java.nio.charset.StandardCharsets;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.Base64;
import java.util.Iterator;
import java.util.List;
import java.util.Map;
import java.util.concurrent.ConcurrentHashMap;
import java.util.concurrent.atomic.AtomicInteger;
import java.util.logging.Level;
import java.util.logging.Logger;
import org.json.JSONArray;
import org.json.JSONException;
import org.json.JSONObject;

/** The driver of io.socket:socket.io-client: tests/js/stock/driver.mjs says what it reads and writes. */
public class Driver {
  private static final PrintStream OUT = new PrintStream(System.out, true, StandardCharsets.UTF_8);
  private static final Map<String, Map<String, Socket>> SOCKETS = new ConcurrentHashMap<>();

  public static void main(String[] none) throws Exception {
    Logger.getLogger("").setLevel(Level.WARNING);
    BufferedReader lines = new BufferedReader(new InputStreamReader(System.in, StandardCharsets.UTF_8));
    for (String line; (line = lines.readLine()) != null; ) {
      JSONObject command = new JSONObject(line);
      try {
        carryOut(command);
      } catch (Exception error) {
        fail(command, String.valueOf(error));
      }
    }
    System.exit(0);
  }

  private static void carryOut(JSONObject command) throws Exception {
    if (command.getString("do").equals("connect")) {
      connect(command);
      return;
    }
    Map<String, Socket> sockets = SOCKETS.get(command.getString("socket"));
    if (command.getString("do").equals("disconnect")) {
      sockets.values().forEach(Socket::disconnect);
      succeed(command, JSONObject.NULL);
      return;
    }
    Socket socket = sockets.get(command.getString("namespace"));
    String event = command.getString("event");
    switch (command.getString("do")) {
      case "listen":
        socket.on(event, args -> received(command, args));
        succeed(command, JSONObject.NULL);
        break;
      case "emit":
        socket.emit(event, arguments(command));
        succeed(command, JSONObject.NULL);
        break;
      case "ask":
        socket.emit(event, arguments(command), (Ack) values -> succeed(command, toLine(new JSONArray(Arrays.asList(values)))));
        break;
      default:
        throw new IllegalArgumentException(command.getString("do"));
    }
  }

  private static void connect(JSONObject command) throws Exception {
    Manager.Options options = new Manager.Options();
    JSONArray transports = command.getJSONArray("transports");
    options.transports = new String[transports.length()];
    for (int index = 0; index < transports.length(); index++) options.transports[index] = transports.getString(index);
    options.auth = Map.of("token", command.getString("token"));
    options.reconnectionDelay = 50;
    options.reconnectionDelayMax = 200;
    Manager manager = new Manager(URI.create(command.getString("url")), options);
    JSONArray namespaces = command.getJSONArray("namespaces");
    Map<String, Socket> sockets = new ConcurrentHashMap<>();
    AtomicInteger missing = new AtomicInteger(namespaces.length());
    for (int index = 0; index < namespaces.length(); index++) {
      String namespace = namespaces.getString(index);
      Socket socket = manager.socket(namespace, options);
      sockets.put(namespace, socket);
      socket.on(Socket.EVENT_CONNECT, args -> {
        report("connect", command, namespace, null);
        if (missing.decrementAndGet() == 0) succeed(command, JSONObject.NULL);
      });
      socket.on(Socket.EVENT_DISCONNECT, args -> report("disconnect", command, namespace, args[0]));
      // Only what comes before all are connected is the answer to the command; later errors are those of a reconnection.
      socket.on(Socket.EVENT_CONNECT_ERROR, args -> {
        if (missing.getAndSet(-1) <= 0) return;
        sockets.values().forEach(Socket::disconnect);
        fail(command, String.valueOf(args[0]));
      });
    }
    SOCKETS.put(command.getString("socket"), sockets);
    sockets.values().forEach(Socket::connect);
  }

  /** Reports an event, and acks with what it is told, or with what the event brought. */
  private static void received(JSONObject command, Object[] args) {
    Ack ack = args.length > 0 && args[args.length - 1] instanceof Ack ? (Ack) args[args.length - 1] : null;
    Object[] values = ack == null ? args : Arrays.copyOf(args, args.length - 1);
    JSONObject report = about("event", command, command.optString("namespace"));
    put(put(report, "event", command.optString("event")), "args", toLine(new JSONArray(Arrays.asList(values))));
    say(report);
    if (ack == null) return;
    try {
      ack.call(command.has("ack") ? list(command.getJSONArray("ack")) : values);
    } catch (JSONException error) {
      throw new IllegalStateException(error);
    }
  }

  private static Object[] arguments(JSONObject command) throws JSONException {
    return list(command.getJSONArray("args"));
  }

  private static Object[] list(JSONArray line) throws JSONException {
    JSONArray args = (JSONArray) fromLine(line);
    List<Object> list = new ArrayList<>();
    for (int index = 0; index < args.length(); index++) list.add(args.get(index));
    return list.toArray();
  }

  private static Object fromLine(Object value) throws JSONException {
    if (value instanceof JSONArray) {
      JSONArray copy = new JSONArray();
      for (int index = 0; index < ((JSONArray) value).length(); index++) copy.put(fromLine(((JSONArray) value).get(index)));
      return copy;
    }
    if (!(value instanceof JSONObject)) return value;
    JSONObject object = (JSONObject) value;
    if (object.has("$binary")) return Base64.getDecoder().decode(object.getString("$binary"));
    JSONObject copy = new JSONObject();
    for (Iterator<?> keys = object.keys(); keys.hasNext(); ) {
      String key = (String) keys.next();
      copy.put(key, fromLine(object.get(key)));
    }
    return copy;
  }

  private static Object toLine(Object value) {
    if (value instanceof byte[]) return put(new JSONObject(), "$binary", Base64.getEncoder().encodeToString((byte[]) value));
    if (value instanceof JSONArray) {
      JSONArray copy = new JSONArray();
      for (int index = 0; index < ((JSONArray) value).length(); index++) copy.put(toLine(((JSONArray) value).opt(index)));
      return copy;
    }
    if (!(value instanceof JSONObject)) return value == null ? JSONObject.NULL : value;
    JSONObject copy = new JSONObject();
    for (Iterator<?> keys = ((JSONObject) value).keys(); keys.hasNext(); ) {
      String key = (String) keys.next();
      put(copy, key, toLine(((JSONObject) value).opt(key)));
    }
    return copy;
  }

  private static void report(String what, JSONObject command, String namespace, Object reason) {
    say(put(about(what, command, namespace), "reason", reason == null ? JSONObject.NULL : reason));
  }

  private static JSONObject about(String report, JSONObject command, String namespace) {
    return put(put(put(new JSONObject(), "report", report), "socket", command.optString("socket")), "namespace", namespace);
  }

  private static void succeed(JSONObject command, Object value) {
    say(put(put(new JSONObject(), "id", command.optInt("id")), "value", value));
  }

  private static void fail(JSONObject command, String error) {
    say(put(put(new JSONObject(), "id", command.optInt("id")), "error", error));
  }

  private static JSONObject put(JSONObject object, String key, Object value) {
    try {
      return object.put(key, value);
    } catch (JSONException error) {
      throw new IllegalStateException(error);
    }
  }

  private static synchronized void say(JSONObject message) {
    OUT.println(message);
  }
}
