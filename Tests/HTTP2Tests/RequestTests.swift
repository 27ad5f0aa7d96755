import Bytes
import HTTP2
import HTTPMessage
import Testing

struct Bad: CustomTestStringConvertible, Sendable {
  var why: String
  var fields: [(String, String)]
  var ends = true
  var testDescription: String { why }
}

@Suite struct RequestTests {
  @Test func `a request becomes the head that HTTP 1 would have`() throws {
    let peer = try Peer()
    let seen = peer.send(
      headers(1, get("/a?b=c", [("cookie", "x=1"), ("accept", "*/*"), ("cookie", "y=2")])))
    #expect(
      seen == [
        .request(
          1,
          "GET /a?b=c HTTP/1.1\r\nhost: a.example\r\naccept: */*\r\ncookie: x=1; y=2\r\n\r\n")
      ])
    #expect(peer.head.bytes[peer.head.path].string == "/a")
    #expect(peer.head.bytes[peer.head.authority].string == "a.example")
    #expect(peer.head.framing == BodyFraming.none)
  }

  @Test(arguments: [1, 2, 7, 9, 10, 100])
  func `how the bytes are cut makes no difference`(step: Int) throws {
    let peer = try Peer(greets: false)
    let block = section(post([("x", String(repeating: "v", count: 300))]))
    let bytes =
      preface + settings
      + Frame(type: 1, flags: 0, stream: 1, payload: Array(block.prefix(100))).bytes
      + Frame(type: 9, flags: 4, stream: 1, payload: Array(block.dropFirst(100))).bytes
      + data(1, "hello") + headers(1, [("x-sum", "1"), ("content-length", "5")])
    var text = ""
    var ends: [Seen] = []
    for seen in peer.send(bytes, step: step) {
      switch seen {
      case .content(_, let piece): text += piece
      case .request: #expect(peer.head.framing == .chunked)
      default: ends.append(seen)
      }
    }
    #expect(text == "hello")
    // A length is not for trailers, and is not passed on.
    #expect(ends == [.end(1, "x-sum: 1\r\n")])
  }

  @Test func `content of known length is read, and acknowledged when it is consumed`() throws {
    let peer = try Peer()
    let body = String(repeating: "b", count: 16_384)
    let length = ("content-length", "\(16_384 * 3)")
    var seen = peer.send(headers(1, post([length]), ends: false) + data(1, body))
    #expect(peer.head.framing == .length(49_152))
    #expect(seen.count == 2)
    seen = peer.send(data(1, body) + data(1, body, ends: true))
    #expect(seen.last == .end(1, ""))
    #expect(!peer.frames().contains { $0.type == 8 })
    peer.session.consume(1, 49_152)
    let updates = peer.frames().filter { $0.type == 8 }
    #expect(updates.contains { $0.stream == 0 && $0.code == 49_152 })
  }

  @Test(
    arguments: [
      Bad(why: "no method", fields: Array(get().dropFirst())),
      Bad(why: "no scheme", fields: get().filter { $0.0 != ":scheme" }),
      Bad(why: "no path", fields: get().filter { $0.0 != ":path" }),
      Bad(why: "no authority", fields: get().filter { $0.0 != ":authority" }),
      Bad(why: "empty path", fields: get("")), Bad(why: "path without slash", fields: get("a")),
      Bad(why: "absolute form", fields: get("http://b.example/")),
      Bad(why: "star for GET", fields: get("*")), Bad(why: "fragment", fields: get("/a#b")),
      Bad(why: "space in path", fields: get("/a b")),
      Bad(why: "request splitting by path", fields: get("/ HTTP/1.1\r\nhost: b\r\n")),
      Bad(why: "method twice", fields: [(":method", "GET")] + get()),
      Bad(why: "path twice", fields: get() + [(":path", "/b")]),
      Bad(why: "unknown pseudo-field", fields: get() + [(":version", "2")]),
      Bad(why: "a response's pseudo-field", fields: get() + [(":status", "200")]),
      Bad(why: "pseudo-field behind a field", fields: [("accept", "x")] + get()),
      Bad(why: "method that is no token", fields: [(":method", "G T")] + get().dropFirst()),
      Bad(
        why: "other scheme",
        fields: [(":method", "GET"), (":scheme", "ftp"), (":path", "/"), (":authority", "a")]),
      Bad(why: "upper case", fields: get("/", [("Accept", "x")])),
      Bad(why: "empty name", fields: get("/", [("", "x")])),
      Bad(why: "name with a space", fields: get("/", [("a b", "x")])),
      Bad(why: "name with a colon", fields: get("/", [("a:", "x")])),
      Bad(why: "name with CR LF", fields: get("/", [("a\r\nb", "x")])),
      Bad(why: "value with CR LF", fields: get("/", [("a", "x\r\nb: y")])),
      Bad(why: "value with LF", fields: get("/", [("a", "x\ny")])),
      Bad(why: "value with NUL", fields: get("/", [("a", "x\0y")])),
      Bad(why: "space before a value", fields: get("/", [("a", " x")])),
      Bad(why: "space after a value", fields: get("/", [("a", "x ")])),
      Bad(why: "connection", fields: get("/", [("connection", "close")])),
      Bad(why: "keep-alive", fields: get("/", [("keep-alive", "1")])),
      Bad(why: "proxy-connection", fields: get("/", [("proxy-connection", "1")])),
      Bad(why: "upgrade", fields: get("/", [("upgrade", "h2c")])),
      Bad(why: "transfer-encoding", fields: post([("transfer-encoding", "chunked")]), ends: false),
      Bad(why: "te: gzip", fields: get("/", [("te", "gzip")])),
      Bad(why: "another host", fields: get("/", [("host", "b.example")])),
      Bad(why: "host twice", fields: get("/", [("host", "a.example"), ("host", "a.example")])),
      Bad(
        why: "userinfo",
        fields: [(":method", "GET"), (":scheme", "https"), (":path", "/"), (":authority", "u@a")]),
      Bad(why: "length without content", fields: post([("content-length", "5")])),
      Bad(
        why: "two lengths", fields: post([("content-length", "5"), ("content-length", "5")]),
        ends: false),
      Bad(why: "length that is none", fields: post([("content-length", "+5")]), ends: false),
      Bad(why: "CONNECT with a path", fields: [(":method", "CONNECT")] + get().dropFirst()),
      Bad(
        why: "CONNECT without port",
        fields: [(":method", "CONNECT"), (":authority", "a.example")]),
      Bad(why: "protocol without CONNECT", fields: get() + [(":protocol", "websocket")]),
    ])
  func `a malformed request is a stream error and never delivered`(bad: Bad) throws {
    let peer = try Peer()
    let seen = peer.send(headers(1, bad.fields, ends: bad.ends) + headers(3, get("/next")))
    // The connection goes on.
    #expect(seen == [.request(3, "GET /next HTTP/1.1\r\nhost: a.example\r\n\r\n")])
    let resets = peer.frames().filter { $0.type == 3 }
    #expect(resets.map(\.stream) == [1])
    #expect(resets.first?.code == 1)
    #expect(peer.session.failure == nil)
  }

  @Test(arguments: [("hello", true), ("hell", true), ("hello!", false)])
  func `content that is not as long as announced is a stream error`(
    content: String, ends: Bool
  ) throws {
    let peer = try Peer()
    let begun = peer.send(headers(1, post([("content-length", "5")]), ends: false))
    #expect(begun.count == 1)
    let seen = peer.send(data(1, content, ends: ends))
    let reset = peer.frames().first { $0.type == 3 }
    if content == "hello" {
      #expect(seen.last == .end(1, ""))
      #expect(reset == nil)
    } else {
      #expect(!seen.contains(.end(1, "")))
      #expect(reset?.code == 1)
      #expect(seen.contains(.closed(1, 1)))
    }
  }

  @Test func `host alone will do, and may repeat the authority`() throws {
    let peer = try Peer()
    let fields = get().filter { $0.0 != ":authority" } + [("host", "b.example")]
    #expect(
      peer.send(headers(1, fields)) == [.request(1, "GET / HTTP/1.1\r\nhost: b.example\r\n\r\n")])
    #expect(
      peer.send(headers(3, get("/", [("host", "A.example")])))
        == [.request(3, "GET / HTTP/1.1\r\nhost: a.example\r\n\r\n")])
  }

  @Test func `what is too large is answered and not delivered`() throws {
    let peer = try Peer {
      $0.maxFieldSection = 2_000
      $0.maxTarget = 100
      $0.maxFields = 10
    }
    let long = String(repeating: "x", count: 1_000)
    #expect(peer.send(headers(1, get("/", [("a", long), ("b", long)]))) == [])
    #expect(peer.send(headers(3, get("/" + String(repeating: "x", count: 101)))) == [])
    #expect(peer.send(headers(5, get("/", (0..<10).map { ("a\($0)", "") }))) == [])
    #expect(peer.send(headers(7, post([("expect", "x")]), ends: false)) == [])
    let answers = peer.frames().filter { $0.type == 1 }
    #expect(answers.map(\.stream) == [1, 3, 5, 7])
    #expect(
      answers.map { peer.fields($0) } == [
        [":status: 431"], [":status: 414"], [":status: 431"], [":status: 417"],
      ])
  }

  @Test func `a WebSocket is asked for as in HTTP 1`() throws {
    let peer = try Peer()
    let fields = [(":method", "CONNECT"), (":protocol", "websocket")] + get("/chat").dropFirst()
    #expect(
      peer.send(headers(1, fields + [("sec-websocket-version", "13")], ends: false)) == [
        .request(
          1,
          "GET /chat HTTP/1.1\r\nhost: a.example\r\nconnection: upgrade\r\nupgrade: websocket\r\n"
            + "sec-websocket-version: 13\r\n\r\n")
      ])
    #expect(peer.head.wantsUpgrade)
    let refusing = try Peer { $0.allowsExtendedConnect = false }
    #expect(refusing.send(headers(1, fields, ends: false)) == [])
  }

  @Test func `settings say what is offered`() throws {
    let peer = try Peer(greets: false)
    _ = peer.send(preface)
    let settings = try #require(peer.frames().first { $0.type == 4 })
    var values: [Int: UInt32] = [:]
    for at in stride(from: 0, to: settings.payload.count, by: 6) {
      let entry = settings.payload[at..<at + 6].map { UInt32($0) }
      values[Int(entry[0] << 8 | entry[1])] =
        entry[2] << 24 | entry[3] << 16 | entry[4] << 8 | entry[5]
    }
    #expect(values == [3: 128, 4: 65_535, 6: 32_768, 8: 1, 9: 1])
  }
}
