import Authentication
import Bytes
import Cryptography
import EventLoop
import Testing

private let content = #"{"keys":[]}"#

/// What fetching from a server comes to.
private func fetch(
  _ server: TestServer, _ scheme: String = "http", host: String = "127.0.0.1",
  trust: String? = nil, maxBytes: Int = 1_000, timeout: Int64 = 10_000
) throws -> Result<String, FetchError> {
  let url = try KeyURL("\(scheme)://\(host):\(server.port)/keys?a=b")
  do throws(FetchError) {
    let fetch = KeyFetch(url: url, trustFile: trust, maxBytes: maxBytes, timeout: timeout)
    return .success(String(decoding: try fetch.run(), as: UTF8.self))
  } catch {
    return .failure(error)
  }
}

@Suite struct FetchTests {
  @Test(arguments: [
    response(content),
    response(content, fields: "Content-Encoding: identity\r\n"),
    "HTTP/1.1 200 OK\r\n\r\n" + content,
    "HTTP/1.0 200 OK\r\n\r\n" + content,
    "HTTP/1.1 103 Early Hints\r\nLink: a\r\n\r\n" + response(content),
    "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n4\r\n{\"ke\r\n7\r\nys\":[]}\r\n0\r\n\r\n",
  ])
  func `content is read however it is framed`(answer: String) throws {
    let server = try TestServer { _ in .bytes(answer) }
    defer { server.stop() }
    #expect(try fetch(server) == .success(content))
    #expect(server.requests.first?.hasPrefix("GET /keys?a=b HTTP/1.1\r\nHost: 127.0.0.1:") == true)
  }

  @Test(arguments: [
    (response("", status: "404 Not Found"), FetchError.status(404)),
    (response("", status: "302 Found", fields: "Location: /x\r\n"), .status(302)),
    (response(content, fields: "Content-Encoding: gzip\r\n"), .contentCoding),
    ("HTTP/1.1 200 OK\r\nContent-Length: 1001\r\n\r\n", .tooLarge),
    ("HTTP/1.1 200 OK\r\n\r\n" + String(repeating: "x", count: 1_001), .tooLarge),
    (
      "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3e9\r\n"
        + String(repeating: "x", count: 1_001) + "\r\n0\r\n\r\n", .tooLarge
    ),
    ("HTTP/1.1 200 OK\r\nContent-Length: 20\r\n\r\nx", .badResponse("content is cut off")),
    (
      "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n1\r\nx\r\n",
      .badResponse("content is cut off")
    ),
    ("HTTP/1.1 200 OK\r\nContent-Le", .badResponse("the head is cut off")),
    ("", .badResponse("the head is cut off")),
    ("SSH-2.0-OpenSSH\r\n\r\n", .badResponse("malformed status line")),
    ("HTTP/1.1 101 Switching Protocols\r\n\r\n", .badResponse("interim responses")),
  ])
  func `what is not one whole document is refused`(answer: String, error: FetchError) throws {
    let server = try TestServer { _ in .bytes(answer) }
    defer { server.stop() }
    #expect(try fetch(server) == .failure(error))
  }

  @Test func `a server that says nothing is not waited for`() throws {
    let server = try TestServer { _ in .silence }
    defer { server.stop() }
    #expect(try fetch(server, timeout: 50) == .failure(.timeout))
    #expect(try fetch(server, "https", timeout: 50) == .failure(.timeout))
  }

  @Test func `a server that is not there is said to be so`() throws {
    let server = try TestServer { _ in .silence }
    server.stop()
    let url = try KeyURL("http://name.invalid/")
    #expect(throws: FetchError.noAddress) {
      _ = try KeyFetch(url: url, trustFile: nil).run()
    }
  }

  @Test func `keys come over TLS from a server that is trusted`() throws {
    let certificate = try #require(TestCertificate(names: "DNS:localhost,IP:127.0.0.1"))
    let file = try TemporaryFile("")
    #expect(certificate.write(to: file.path))
    let server = try TestServer(certificate: certificate) { _ in .bytes(response(content)) }
    defer { server.stop() }
    #expect(try fetch(server, "https", host: "localhost", trust: file.path) == .success(content))
    #expect(try fetch(server, "https", host: "127.0.0.1", trust: file.path) == .success(content))
  }

  @Test func `a server that nobody vouches for is not`() throws {
    let certificate = try #require(TestCertificate(names: "DNS:localhost"))
    let other = try #require(TestCertificate(names: "DNS:localhost"))
    let file = try TemporaryFile("")
    #expect(other.write(to: file.path))
    let server = try TestServer(certificate: certificate) { _ in .bytes(response(content)) }
    defer { server.stop() }
    for trust in [file.path, nil] {
      guard
        case .failure(.tls(let text)) = try fetch(
          server, "https", host: "localhost", trust: trust)
      else {
        Issue.record("trusted")
        return
      }
      #expect(text.hasPrefix("certificate refused: "))
    }
  }

  @Test(arguments: [
    ("DNS:other.example", 3_600), ("DNS:localhost.example", 3_600), ("IP:127.0.0.1", 3_600),
    ("DNS:localhost", -60), ("DNS:*host", 3_600),
  ])
  func `a certificate for another host, or an expired one, is refused`(
    names: String, validFor: Int
  ) throws {
    let certificate = try #require(TestCertificate(names: names, validFor: validFor))
    let file = try TemporaryFile("")
    #expect(certificate.write(to: file.path))
    let server = try TestServer(certificate: certificate) { _ in .bytes(response(content)) }
    defer { server.stop() }
    guard
      case .failure(.tls(let text)) = try fetch(
        server, "https", host: "localhost", trust: file.path)
    else {
      Issue.record("accepted")
      return
    }
    #expect(text.hasPrefix("certificate refused: "))
    #expect(server.requests.isEmpty)
  }

  @Test func `content without a length that is cut off under TLS is refused`() throws {
    let certificate = try #require(TestCertificate(names: "DNS:localhost"))
    let file = try TemporaryFile("")
    #expect(certificate.write(to: file.path))
    let server = try TestServer(certificate: certificate) { _ in
      .cutOff("HTTP/1.1 200 OK\r\n\r\n{\"keys\"")
    }
    defer { server.stop() }
    #expect(
      try fetch(server, "https", host: "localhost", trust: file.path)
        == .failure(.tls("the connection broke off")))
  }

  @Test func `a server that speaks no TLS is refused`() throws {
    let server = try TestServer { _ in .bytes("HTTP/1.1 400 Bad Request\r\n\r\n") }
    let certificate = try TemporaryFile("no certificate")
    #expect(try fetch(server, "https", trust: certificate.path) != .success(content))
    guard case .failure(.trust) = try fetch(server, "https", trust: "/nonexistent/file") else {
      Issue.record("no trust file, and yet")
      return
    }
    server.stop()
  }

  @Test(arguments: [
    ("https://a.example/keys?x=1", "https://a.example/keys?x=1"),
    ("https://a.example", "https://a.example/"), ("http://a.example:80/x", "http://a.example/x"),
    ("https://a.example:8443?x", "https://a.example:8443/?x"),
    ("https://[::1]:443/", "https://[::1]/"), ("http://127.0.0.1:1/", "http://127.0.0.1:1/"),
  ])
  func `a URL is read`(text: String, normal: String) throws {
    #expect(try KeyURL(text).description == normal)
  }

  @Test(arguments: [
    ("ftp://a/", KeyURL.Defect.scheme), ("a.example", .scheme), ("HTTPS://a/", .scheme),
    ("https://", .host), ("https:///x", .host), ("https://u@a/", .host), ("https://a b/", .host),
    ("https://u:p@a/", .port), ("https://[::1/", .host), ("https://[a]/", .host),
    ("https://[::1]x/", .port), ("https://a:/", .port), ("https://a:0/", .port),
    ("https://a:65536/", .port), ("https://a:+80/", .port), ("https://a/ b", .target),
    ("https://a/\r\nX: y", .target), ("https://a/#x", .target), ("https://a/é", .target),
    ("https://é/", .host),
  ])
  func `what is no such URL is refused`(text: String, defect: KeyURL.Defect) {
    #expect(throws: defect) { _ = try KeyURL(text) }
  }
}
