// Private object storage: Moto's S3, which refuses what is not signed, and a server that checks signatures
// of any path and service with botocore's code.

import EdgeTesting
import EventLoop
import Foundation
import Testing

@Suite(.enabled(if: Peer.isInstalled, "tools/setup-peers has not been run"))
struct ObjectStorageTests {
  @Test func `objects of a private bucket are served, stored and refused to nobody`() async throws {
    let storage = try Peer("s3_server.py")
    defer { storage.stop() }
    let node = try node(
      storage, try storage.number("store"),
      routes: "route /media/deep/ { cache off; } route / { cache { ttl 200 60s; } }")
    let port = try storage.number("store")
    let origin = try await RawClient.connect(to: port)
    // By another name the bucket would be that name's.
    try await origin.send("GET", "/media/plain.txt", host: "127.0.0.1:\(port)")
    #expect(try await origin.readResponse().status == 403)
    origin.close()

    let first = try await node.get("/media/plain.txt", "Authorization: Bearer none-of-its-business")
    #expect(first.status == 200 && first.text == "content of plain.txt", "\(first.text)")
    // What was asked for with credentials is not kept (RFC 9111 §3.5), whoever they were for.
    for isHit in [false, true] {
      let again = try await node.get("/media/plain.txt")
      #expect(again.header("cache-status")?.contains("; hit") == isHit)
      try await node.settle()
    }
    // Ranges and conditions go to the store where nothing is kept.
    let part = try await node.get("/media/deep/er//one.txt", "Range: bytes=0-6")
    #expect(part.status == 206 && part.text == "content")
    let whole = try await node.get("/media/deep/er//one.txt")
    let tag = try #require(whole.header("etag"))
    let same = try await node.get("/media/deep/er//one.txt", "If-None-Match: \(tag)")
    #expect(same.status == 304)
    let client = try await node.connect()
    defer { client.close() }
    let head = try await client.request("HEAD", "/media/deep/er//one.txt")
    #expect(head.status == 200 && head.header("etag") == tag)
    #expect(try await client.get("/media/missing").status == 404)
    // An order in the query is not carried out.
    #expect(try await client.get("/media/deep/er//one.txt?acl").text == whole.text)
    let put = try await client.request("PUT", "/media/new.txt", body: "new")
    #expect(put.status == 405 && put.header("allow") == "GET, HEAD")
  }

  @Test func `who may write writes, and a wrong secret does nothing`() async throws {
    let storage = try Peer("s3_server.py")
    defer { storage.stop() }
    let node = try node(
      storage, try storage.number("store"), sign: "methods GET PUT DELETE; query keep;")
    let client = try await node.connect()
    defer { client.close() }
    #expect(try await client.request("PUT", "/media/new.txt", body: "new").status == 200)
    #expect(try await client.get("/media/new.txt").text == "new")
    #expect(
      try await client.get("/media/?list-type=2&prefix=ne").text.contains("<Key>new.txt</Key>"))
    #expect(try await client.request("DELETE", "/media/new.txt").status == 204)
    #expect(try await client.get("/media/new.txt").status == 404)
    let other = try self.node(storage, try storage.number("store"), secret: "wrong")
    #expect(try await other.get("/media/plain.txt").text.contains("SignatureDoesNotMatch"))
  }

  @Test func `a private bucket passes its checks, and fails those with a wrong secret`()
    async throws
  {
    let storage = try Peer("s3_server.py")
    defer { storage.stop() }
    let check = "health GET /media/plain.txt every=50ms timeout=30s fall=1 rise=1;"
    let port = try storage.number("store")
    let right = try node(storage, port, check: check)
    let wrong = try node(storage, port, check: check, secret: "wrong")
    try await eventually("both to be checked") {
      let rightOne = try await Self.lastCheck(of: right)
      let wrongOne = try await Self.lastCheck(of: wrong)
      return rightOne == "passed" && wrongOne == "wrong_status"
    }
  }

  private static func lastCheck(of node: TestNode) async throws -> String? {
    let report = try await node.admin("GET", "/v1/origins")
    return try JSONValue(parsing: report.text)["origins"]?[0]?["servers"]?[0]?["last_check"]?.string
  }

  /// What comes, and what the storage gets.
  private static let targets = [
    ("/plain", "/plain"), ("/a+b(c)!'*~$&=@", "/a%2Bb%28c%29%21%27%2A~%24%26%3D%40"),
    ("/%c3%a9%20x", "/%C3%A9%20x"), ("/deep//er/", "/deep//er/"),
    ("/q?b=2&a=1&a=0&c", "/q?b=2&a=1&a=0&c"), ("/q?x=a+b&y=%2f/", "/q?x=a%20b&y=%2F%2F"),
    ("/?", "/"),
  ]

  @Test func `every target is signed as its service has it`() async throws {
    let storage = try Peer("s3_server.py")
    defer { storage.stop() }
    for service in ["s3", "execute-api"] {
      let node = try node(
        storage, try storage.number("checker"),
        sign: "service \(service); query keep; methods GET HEAD PUT POST;")
      let client = try await node.connect()
      defer { client.close() }
      for (target, sent) in Self.targets {
        let answer = try await client.get(
          target,
          [
            "X-Amz-Security-Token: theirs", "X-Amz-Copy-Source: /other/secret", "If-Match: \"a\"",
            "Range:  bytes=0-1", "Authorization: Basic eDp5",
          ])
        #expect(answer.status == 200, "\(service) \(target): \(answer.text)")
        let seen = try JSONValue(parsing: answer.text)
        if service == "s3" { #expect(seen["target"]?.string == sent) }
        #expect(seen["fields"]?["x-amz-copy-source"] == nil)
        #expect(seen["fields"]?["x-amz-security-token"] == nil)
      }
      let put = try await client.request(
        "PUT", "/put", ["Content-Type: text/plain; charset=utf-8"], body: "some content")
      #expect(put.status == 200, "\(put.text)")
      #expect(try JSONValue(parsing: put.text)["content"]?.string == "some content")
      #expect(try await client.request("HEAD", "/head").status == 200)
    }
  }

  @Test func `fields that rules set are signed, a session token goes along`() async throws {
    let storage = try Peer("s3_server.py")
    defer { storage.stop() }
    let node = try node(
      storage, try storage.number("checker"), token: "a-token",
      routes: """
        route / {
          cache off;
          set header.x-amz-request-payer "requester";
        }
        """)
    let answer = try await node.get("/a")
    #expect(answer.status == 200, "\(answer.text)")
    let seen = try JSONValue(parsing: answer.text)
    #expect(seen["fields"]?["x-amz-request-payer"]?.string == "requester")
    #expect(seen["fields"]?["x-amz-security-token"]?.string == "a-token")
  }

  private func node(
    _ storage: Peer, _ port: UInt16, sign: String = "", check: String = "",
    secret: String? = nil, token: String? = nil,
    routes: String = "route / { cache off; }"
  ) throws -> TestNode {
    let directory = try TemporaryDirectory()
    var file = "[edge]\naws_access_key_id = \(try storage.text("key"))\n"
    file += "aws_secret_access_key = \(try secret ?? storage.text("secret"))\n"
    if let token { file += "aws_session_token = \(token)\n" }
    try directory.writeSecret("credentials", file)
    return try TestNode.start(
      configuration: """
        listen 127.0.0.1:0;
        workers 1;
        store ./store;
        \(TestNode.adminBlock)
        origin storage {
          server 127.0.0.1:\(port);
          sign aws4 { region eu-central-1; credentials credentials profile=edge; \(sign) }
          \(check)
        }
        site * { origin storage; \(routes) }
        """, directory: directory, clock: NodeClock())
  }
}
