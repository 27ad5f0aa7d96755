// The client's session against the server's: bytes of the one are fed to the other.

import Bytes
import HTTP2
import HTTPMessage
import Testing

private final class Answers: HTTP2ClientEvents {
  var said: [String] = []

  func answered(token: UInt64, head: ResponseHead) {
    let fields = (0..<head.fields.count).map { index in
      "\(head.fields[index].name(in: head.bytes).string)=\(head.fields[index].value(in: head.bytes).string)"
    }
    said.append("\(token): \(head.status) \(fields)")
  }
  func received(token: UInt64, count: Int) { said.append("\(token): \(count) bytes") }
  func closed(token: UInt64, code: UInt32) { said.append("\(token): closed \(code)") }
  func goingAway() { said.append("going away") }
}

/// Answers of a fixed text.
private final class Greeting: HTTP2ContentProvider {
  func content(stream: Int32, token: UInt64, limit: Int) -> HTTP2Content {
    .last(ByteView("hello"))
  }
}

@Suite("The client's end of HTTP/2")
struct ClientSessionTests {
  private let answers = Answers()

  /// What the server understood of requests.
  private func exchange(
    _ client: HTTP2ClientSession, _ server: HTTP2Session,
    answer: (HTTP2Session, Int32) -> Void
  ) -> [String] {
    var seen: [String] = []
    let provider = Greeting()
    let head = RequestHead()
    for _ in 0..<20 {
      var bytes = ByteBuffer()
      #expect(client.produce(into: &bytes, limit: 1 << 20))
      if !bytes.isEmpty { server.feed(bytes.view, now: 0) }
      while let event = server.next(into: head) {
        switch event {
        case .request(let stream, let request):
          let host = head.bytes[head.authority].string
          seen.append(
            "\(head.bytes[head.methodRange].string) \(host)\(head.bytes[head.target].string) "
              + "secure=\(request.isSecure) content=\(request.hasContent) "
              + (0..<head.fields.count).map { head.fields[$0].name(in: head.bytes).string }
              .joined(separator: ","))
          if !request.hasContent { answer(server, stream) }
        case .content(let stream, let bytes):
          seen.append("content \(bytes.count)")
          server.consume(stream, bytes.count)
        case .end(let stream, _):
          seen.append("end")
          answer(server, stream)
        case .closed, .goingAway: break
        }
      }
      var back = ByteBuffer()
      let tail = server.produce(into: &back, from: provider, limit: 1 << 20, now: 0)
      back.append(tail)
      if bytes.isEmpty && back.isEmpty { break }
      if !back.isEmpty { #expect(client.feed(back.view)) }
    }
    return seen
  }

  @Test func `a head of HTTP/1_1 becomes a request, and its answer comes back`() throws {
    let client = try #require(HTTP2ClientSession(events: answers))
    let server = try #require(HTTP2Session(now: 0))
    let text = "GET /a?b HTTP/1.1\r\nHost: h.example\r\nX-Test:  y z\r\nConnection: close\r\n\r\n"
    Array(text.utf8).withView {
      #expect(client.request(head: $0, isSecure: true, content: 0, token: 7) != nil)
    }
    let seen = exchange(client, server) { server, stream in
      let lines = ByteView("cache-status: weir; hit\r\n")
      server.respond(stream, status: 200, lines: lines, contentFollows: true)
    }
    #expect(seen.count == 1)
    #expect(seen.first?.hasPrefix("GET h.example/a?b secure=true content=false ") == true)
    #expect(seen.first?.contains("x-test") == true && seen.first?.contains("connection") == false)
    #expect(
      answers.said == [
        "7: 200 [\"cache-status=weir; hit\"]", "7: 5 bytes", "7: closed 0",
      ])
  }

  @Test func `content is sent, and interim answers are no answers`() throws {
    let client = try #require(HTTP2ClientSession(events: answers))
    let server = try #require(HTTP2Session(now: 0))
    let text = "POST / HTTP/1.1\r\nHost: h\r\nContent-Length: 70000\r\n\r\n"
    Array(text.utf8).withView {
      #expect(client.request(head: $0, isSecure: false, content: 70_000, token: 1) != nil)
    }
    let seen = exchange(client, server) { server, stream in
      server.inform(stream, status: 103, lines: ByteView("link: </a>\r\n"))
      server.respond(stream, status: 204, lines: ByteView(), contentFollows: false)
    }
    let bytes = seen.compactMap { $0.hasPrefix("content ") ? Int($0.dropFirst(8)) : nil }
    #expect(bytes.reduce(0, +) == 70_000 && seen.last == "end")
    #expect(answers.said == ["1: 204 []", "1: closed 0"])
  }

  @Test func `a stream that is reset says so, and what is no HTTP2 is beyond use`() throws {
    let client = try #require(HTTP2ClientSession(events: answers))
    let server = try #require(HTTP2Session(now: 0))
    Array("GET / HTTP/1.1\r\nHost: h\r\n\r\n".utf8).withView {
      #expect(client.request(head: $0, isSecure: false, content: 0, token: 3) != nil)
    }
    _ = exchange(client, server) { server, stream in server.reset(stream, .refusedStream) }
    #expect(answers.said == ["3: closed 7"])
    let other = try #require(HTTP2ClientSession(events: answers))
    _ = Array("HTTP/1.1 400 Bad Request\r\n\r\n".utf8).withView { other.feed($0) }
    var last = ByteBuffer()
    _ = other.produce(into: &last, limit: 1 << 20)
    #expect(other.isFinished)
  }

  @Test(arguments: ["", "GET", "GET /", "GET / HTTP/1.1"])
  func `a head that is none is refused`(text: String) throws {
    let client = try #require(HTTP2ClientSession(events: answers))
    let stream = Array(text.utf8).withView {
      client.request(head: $0, isSecure: true, content: 0, token: 1)
    }
    #expect(stream == nil)
  }
}
