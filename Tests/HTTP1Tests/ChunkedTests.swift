import Bytes
import HTTP1
import Testing

@Suite("RFC 9112 7.1: chunked") struct ChunkedTests {
  /// Decodes a body that comes at once.
  func decode(_ text: String) -> ChunkedResult { ChunkedResult([latin1(text)]) }

  /// All ways to cut bytes into two, and the cut into single bytes.
  func cuts(_ bytes: [UInt8]) -> [[[UInt8]]] {
    (0...bytes.count).map { [Array(bytes[..<$0]), Array(bytes[$0...])] } + [bytes.map { [$0] }]
  }

  @Test(arguments: [
    ("0\r\n\r\n", "", ""), ("5\r\nhello\r\n0\r\n\r\n", "hello", ""),
    ("5\r\nhello\r\n00006\r\n world\r\n000\r\n\r\n", "hello world", ""),
    (
      "a;x=y\r\n0123456789\r\nA ; \t z = \"q;\\\"\" \r\n0123456789\r\n0;e\r\n\r\n",
      "01234567890123456789", ""
    ),
    ("2\r\n\r\n\r\n0\r\n\r\n", "\r\n", ""),
    (
      "1\r\nx\r\n0\r\nServer-Timing: a\r\nX-Sum:\t1 \r\n\r\n", "x",
      "server-timing: a\r\nx-sum: 1\r\n"
    ),
    (
      "0\r\nContent-Length: 5\r\nHost: x\r\nETag: \"a\"\r\nTransfer-Encoding: chunked\r\n\r\n", "",
      "etag: \"a\"\r\n"
    ),
  ])
  func `every cut of a body gives the same`(text: String, content: String, trailers: String) {
    for pieces in cuts(latin1(text)) {
      let result = ChunkedResult(pieces)
      #expect(result.last == .end && result.taken == text.utf8.count)
      #expect(result.content == latin1(content) && result.trailers == trailers)
    }
  }

  @Test func `what follows a body is not taken`() {
    let result = decode("3\r\nabc\r\n0\r\n\r\nGET / HTTP/1.1\r\n")
    #expect(result.last == .end && result.taken == 13)
    let trailers = decode("0\r\nA: b\r\n\r\n\r\n\r\n")
    #expect(trailers.last == .end && trailers.taken == 11)
  }

  @Test func `every prefix of a body is incomplete`() {
    let bytes = latin1("5;a=b\r\nhello\r\n0\r\nA: b\r\n\r\n")
    for length in 0..<bytes.count {
      #expect(ChunkedResult([Array(bytes.prefix(length))]).last == .incomplete)
    }
  }

  @Test(
    arguments: [
      (.badSize, "\r\n"), (.badSize, "\n"), (.badSize, ";a\r\n"), (.badSize, "+5\r\n"),
      (.badSize, "-5\r\n"),
      (.badSize, " 5\r\n"), (.badSize, "0x5\r\n"), (.badSize, "5x\r\n"), (.badSize, "5 \r\n"),
      (.badSize, "5 5\r\n"), (.badSize, "g\r\n"), (.badSize, "5,5\r\n"), (.badSize, "\u{0}"),
      (.badSize, "1\r\na\r\n\r\n"), (.badSize, "5\u{B}\r\n"), (.bareLineFeed, "5\n"),
      (.bareLineFeed, "5;a\nhello\r\n"), (.bareCarriageReturn, "5\rhello"),
      (.bareCarriageReturn, "5;a\rb\r\n"),
      (.sizeTooLarge, "8000000000000000\r\n"), (.sizeTooLarge, "ffffffffffffffff\r\n"),
      (.sizeTooLarge, "10000000000000000\r\n"), (.sizeTooLarge, "00000000000000005\r\n"),
      (.badExtension, "5;a\u{0}\r\n"), (.badExtension, "5;\u{7F}\r\n"),
      (.badExtension, "5;a=\u{1}"),
      (.missingLineEnd, "5\r\nhello0\r\n\r\n"), (.missingLineEnd, "5\r\nhello \r\n"),
      (.bareLineFeed, "5\r\nhello\n0\r\n"), (.bareCarriageReturn, "5\r\nhello\r0\r\n"),
      (.bareCarriageReturn, "0\r\n\rX"), (.bareLineFeed, "0\r\n\n"),
      (.bareLineFeed, "0\r\nA: b\n\r\n"),
      (.badTrailer, "0\r\nA\r\n\r\n"), (.badTrailer, "0\r\n: b\r\n\r\n"),
      (.badTrailer, "0\r\nA : b\r\n\r\n"),
      (.badTrailer, "0\r\nA: b\r\n c\r\n\r\n"), (.badTrailer, "0\r\nA: \u{0}\r\n\r\n"),
      (.badTrailer, "0\r\n A: b\r\n\r\n"), (.bareCarriageReturn, "0\r\nA: b\rc\r\n\r\n"),
    ] as [(ChunkDefect, String)])
  func `what is not chunked is refused however it comes`(defect: ChunkDefect, text: String) {
    for pieces in cuts(latin1(text)) {
      let result = ChunkedResult(pieces)
      #expect(result.last == .invalid(defect))
      #expect(result.trailers == "")
    }
  }

  @Test func `the largest size is below two to the power of 63`() {
    let result = decode("7fffffffffffffff\r\nabc")
    #expect(result.content == latin1("abc") && result.last == .incomplete)
  }

  @Test func `extensions are counted against the content`() {
    let chunk = "1;" + String(repeating: "e", count: 7) + "\r\nx\r\n"  // 8 for 1
    let body = String(repeating: chunk, count: 10) + "0\r\n\r\n"
    #expect(ChunkedResult([latin1(body)], maxExtension: 71).last == .end)
    #expect(ChunkedResult([latin1(body)], maxExtension: 70).last == .invalid(.extensionTooLong))
    let signed = "10;sig=12345678\r\n0123456789abcdef\r\n"
    let long = String(repeating: signed, count: 1_000) + "0\r\n\r\n"
    #expect(ChunkedResult([latin1(long)], maxExtension: 16).last == .end)
    let spaces = "1" + String(repeating: " ", count: 17)
    #expect(ChunkedResult([latin1(spaces)], maxExtension: 16).last == .invalid(.extensionTooLong))
  }

  @Test func `trailers are limited in bytes and in lines`() {
    let body = latin1("0\r\nA: 1\r\nB: 2\r\n\r\n")  // 14 bytes of trailer section
    #expect(ChunkedResult([body], maxTrailer: 14).last == .end)
    #expect(ChunkedResult([body], maxTrailer: 13).last == .invalid(.trailerTooLarge))
    #expect(ChunkedResult([body], fields: 2).last == .end)
    #expect(ChunkedResult([body], fields: 1).last == .invalid(.trailerTooLarge))
  }

  /// RFC 9110 §6.5.1: limitations on use of trailers.
  @Test(
    arguments: [
      ("Content-Length", false), ("Transfer-Encoding", false), ("Host", false),
      ("Cache-Control", false),
      ("Authorization", false), ("Set-Cookie", false), ("Content-Type", false), ("Trailer", false),
      ("Content-Disposition", false), ("WWW-Authenticate", false), ("X-Forwarded-For", false),
      ("X-Forwarded-Port", false), ("Sec-Fetch-Site", false), ("Connection", false),
      ("Vary", false),
      ("Access-Control-Allow-Origin", false), ("Surrogate-Key", false), ("If-Match", false),
      ("ETag", true), ("Content-Digest", true), ("Proxy-Status", true), ("Server-Timing", true),
      ("Grpc-Status", true), ("X-Checksum", true),
    ])
  func `trailers that would change what was decided are left out`(name: String, kept: Bool) {
    let result = decode("0\r\n\(name): 1\r\n\r\n")
    #expect(result.last == .end)
    #expect(result.trailers == (kept ? "\(name.lowercased()): 1\r\n" : ""))
  }

  @Test func `after its end and after a defect a decoder takes nothing`() {
    latin1("0\r\n\r\n0\r\n\r\n").withView { bytes in
      var decoder = ChunkedDecoder()
      var offset = 0
      for _ in 0..<3 {
        #expect(decoder.next(bytes, offset: &offset) == .end)
        #expect(offset == 5)
      }
    }
    latin1("xyz").withView { bytes in
      var decoder = ChunkedDecoder()
      var offset = 0
      for _ in 0..<3 {
        #expect(decoder.next(bytes, offset: &offset) == .invalid(.badSize))
        #expect(offset == 1)
      }
    }
  }

  @Test func `what is written is read back`() {
    var buffer = ByteBuffer()
    var content: [UInt8] = []
    for length in [1, 15, 16, 255, 4_096] {
      let chunk = [UInt8](repeating: UInt8(length & 0xFF), count: length)
      HTTP1Writer.chunkHeader(length: length, to: &buffer)
      chunk.withView { buffer.append($0) }
      buffer.append("\r\n")
      content += chunk
    }
    "x-sum: 1\r\n".withView { HTTP1Writer.lastChunk(trailers: $0, to: &buffer) }
    let result = ChunkedResult([buffer.view.array])
    #expect(result.content == content && result.last == .end && result.trailers == "x-sum: 1\r\n")
  }
}

@Suite struct HTTP1WriterTests {
  @Test(
    arguments: [
      (200, "HTTP/1.1 200 OK\r\n"), (304, "HTTP/1.1 304 Not Modified\r\n"),
      (502, "HTTP/1.1 502 Bad Gateway\r\n"), (299, "HTTP/1.1 299 \r\n"),
    ] as [(UInt16, String)])
  func `a status line has the registered reason`(status: UInt16, line: String) {
    var buffer = ByteBuffer()
    HTTP1Writer.statusLine(status, to: &buffer)
    #expect(buffer.view.string == line)
  }

  @Test(arguments: UInt16(100)...UInt16(599))
  func `every status line is read back`(status: UInt16) {
    var buffer = ByteBuffer()
    HTTP1Writer.statusLine(status, to: &buffer)
    #expect(buffer.view.string.split(separator: " ", maxSplits: 2)[1] == "\(status)")
    buffer.append("\r\n")
    #expect(outcome(response: buffer.view.array) == .complete)
  }
}
