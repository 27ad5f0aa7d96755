import Bytes
import RequestSigning
import Testing

@Suite("Signing requests")
struct RequestSignerTests {
  private static let time: Int64 = 1_767_225_600_000

  private func target(
    _ target: String, service: String = "s3", dropsQuery: Bool = false
  ) throws -> String {
    let signer = try RequestSigner(region: "r", service: service, dropsQuery: dropsQuery)
    let head = try signer.signed(
      "GET \(target) HTTP/1.1\nhost: h", at: Self.time, for: Signing.example)
    return head.split(separator: " ").dropFirst().first.map(String.init) ?? ""
  }

  @Test(arguments: [
    ("/a b", "/a%20b"), ("/a+b", "/a%2Bb"), ("/%7eme/%c3%a9", "/~me/%C3%A9"),
    ("/a(b)!'*", "/a%28b%29%21%27%2A"), ("//x//", "//x//"), ("/a%2Fb", "/a%2Fb"),
    ("/100%", "/100%25"), ("/a?q=x+y&b", "/a?q=x%20y&b"), ("/a?b=2&a=%2b", "/a?b=2&a=%2B"),
    ("/a?&&x=1&", "/a?x=1"), ("/a?", "/a"), ("/a?x=a=b/c", "/a?x=a%3Db%2Fc"),
  ])
  func `a target of an object store is sent in the form that is signed`(
    given: String, sent: String
  ) throws {
    #expect(try target(given) == sent)
    // Signing what was signed changes nothing: whoever makes the canonical form of it gets the same.
    #expect(try target(sent) == sent)
  }

  @Test func `other services get the path as it came`() throws {
    #expect(try target("/a%20b/../c", service: "execute-api") == "/a%20b/../c")
  }

  @Test func `a query that goes no further is not signed`() throws {
    #expect(try target("/a?acl&x=1", dropsQuery: true) == "/a")
    let signer = try RequestSigner(region: "r", service: "s3", dropsQuery: true)
    let heads = try ["/a", "/a?acl"].map {
      try signer.signed("GET \($0) HTTP/1.1\nhost: h", at: Self.time, for: Signing.example)
    }
    #expect(heads[0] == heads[1])
  }

  @Test func `what a request says of another signature is left out`() throws {
    let signer = try RequestSigner(region: "r", service: "s3")
    let head = try signer.signed(
      """
      GET / HTTP/1.1
      host: h
      Authorization: Bearer mine
      X-Amz-Date: 19990101T000000Z
      X-Amz-Security-Token: t
      X-Amz-Content-SHA256: UNSIGNED-PAYLOAD
      accept: */*
      """, at: Self.time, for: Signing.example)
    #expect(!head.contains("Bearer") && !head.contains("1999") && !head.contains("oken: t"))
    #expect(head.contains("\r\naccept: */*\r\n"))
    #expect(head.contains("SignedHeaders=host;x-amz-content-sha256;x-amz-date,"))
  }

  @Test func `content that nobody knows yet is said to be unsigned`() throws {
    let signer = try RequestSigner(region: "r", service: "s3")
    let head = try signer.signed(
      "PUT /a HTTP/1.1\nhost: h\ncontent-type: text/plain\ncontent-length: 3", at: Self.time,
      for: Signing.example, content: .unsigned)
    #expect(head.contains("x-amz-content-sha256: UNSIGNED-PAYLOAD\r\n"))
    #expect(head.contains("SignedHeaders=content-type;host;x-amz-content-sha256;x-amz-date,"))
  }

  @Test func `the key of a day is another on the next and for another secret`() throws {
    let signer = try RequestSigner(region: "r", service: "s3")
    func signature(_ time: Int64, _ credentials: SigningCredentials?) throws -> String {
      try signer.signed("GET / HTTP/1.1\nhost: h", at: time, for: credentials)
    }
    let first = try signature(Self.time, Signing.example)
    #expect(try signature(Self.time + 86_400_000, Signing.example) != first)
    #expect(try signature(Self.time, Signing.suite) != first)
    #expect(try signature(Self.time, Signing.example) == first)
    let other = try RequestSigner(region: "q", service: "s3")
    #expect(
      try other.signed("GET / HTTP/1.1\nhost: h", at: Self.time, for: Signing.example) != first)
  }

  @Test func `every part of a head may be missing`() throws {
    let signer = try RequestSigner(region: "r", service: "s3")
    let whole = "GET /a?b=%2 HTTP/1.1\nhost: h\nx-amz-a: 1"
    for length in 0...whole.count {
      _ = try signer.signed(String(whole.prefix(length)), at: Self.time, for: Signing.example)
    }
  }
}

@Suite("Credentials for signing")
struct SigningCredentialsTests {
  private static let file = """
    # shared with other tools
    [default]
    aws_access_key_id = AKID
    aws_secret_access_key=a/b=c+d
    region = eu-central-1

    [ media ]
    aws_access_key_id=ASIA
    aws_secret_access_key = s
    aws_session_token = t==

    [half]
    aws_access_key_id = AKID
    [blank]
    aws_access_key_id = AKID
    aws_secret_access_key =
    [open
    """

  @Test func `a section of a file`() throws {
    let usable = Self.file.replacing("[open", with: "")
    #expect(
      try SigningCredentials.parse(usable, profile: "default")
        == SigningCredentials(accessKey: "AKID", secretKey: "a/b=c+d"))
    #expect(
      try SigningCredentials.parse(usable.replacing("\n", with: "\r\n"), profile: "media")
        == SigningCredentials(accessKey: "ASIA", secretKey: "s", sessionToken: "t=="))
  }

  @Test(arguments: [
    ("none", "there is no section [none]", 0), ("half", "[half] has no aws_secret_access_key", 0),
    ("blank", "a value of [blank] is empty, or has characters that no key has", 0),
  ])
  func `a section that is not whole is refused`(
    profile: String, text: String, line: Int
  ) {
    let usable = Self.file.replacing("[open", with: "")
    #expect(throws: SigningCredentialsDefect(line: line, text: text)) {
      try SigningCredentials.parse(usable, profile: profile)
    }
  }

  @Test func `a defect says the line and not what stands there`() {
    #expect(throws: SigningCredentialsDefect(line: 17, text: "the section has no \"]\"")) {
      try SigningCredentials.parse(Self.file, profile: "default")
    }
    #expect(throws: SigningCredentialsDefect(line: 2, text: "expected NAME = VALUE")) {
      try SigningCredentials.parse("[a]\nsecret", profile: "a")
    }
  }

  @Test func `no text shows the secret`() throws {
    let credentials = try #require(
      SigningCredentials(accessKey: "AKID", secretKey: "hush", sessionToken: "quiet"))
    var shown = "\(credentials) \(String(reflecting: credentials))"
    dump(credentials, to: &shown)
    #expect(!shown.contains("hush") && !shown.contains("quiet"))
  }

  @Test(arguments: ["", "a b", "a/b", "a,b", "é", "a\nb"])
  func `a key's name is what can stand in the field`(name: String) {
    #expect(SigningCredentials(accessKey: name, secretKey: "s") == nil)
  }
}
