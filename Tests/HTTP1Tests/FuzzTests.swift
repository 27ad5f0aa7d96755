import Bytes
import HTTP1
import HTTPMessage
import Testing

/// Random changes to valid input: what the fuzz targets do for hours, done for a second with fixed
/// seeds in every run of the tests.
struct Mutator {
  var random: Seeded

  /// What is worth inserting.
  private let tokens = [
    "\r\n", "\n", "\r", "\r\n\r\n", " ", "\t", ":", ",", "\u{0}", "\u{7F}", "\u{80}", "\u{FF}", "#",
    "?",
    "/", "*", "@", "[::1]", "http://", "https://a", "HTTP/1.0", "HTTP/2.0", "Host: a\r\n",
    "Content-Length: 1\r\n", "Transfer-Encoding: chunked\r\n", "Connection: close\r\n", "chunked",
    "Expect: 100-continue\r\n", "CONNECT ", "OPTIONS ", "0", "f", "7fffffffffffffff", ";", "\"",
    "\\",
    "200", "204", "304", "101", "0\r\n\r\n",
  ].map(latin1)

  mutating func mutate(_ bytes: [UInt8]) -> [UInt8] {
    var bytes = bytes
    for _ in 0..<Int.random(in: 1...4, using: &random) {
      let at = Int.random(in: 0...bytes.count, using: &random)
      let end = min(bytes.count, at + Int.random(in: 0...8, using: &random))
      switch Int.random(in: 0..<6, using: &random) {
      case 0: bytes.insert(contentsOf: tokens.randomElement(using: &random) ?? [], at: at)
      case 1: bytes.replaceSubrange(at..<end, with: tokens.randomElement(using: &random) ?? [])
      case 2: bytes.removeSubrange(at..<end)
      case 3: bytes.insert(contentsOf: bytes[at..<end], at: at)
      case 4: if at < bytes.count { bytes[at] = UInt8.random(in: 0...255, using: &random) }
      default: if at < bytes.count { bytes[at] ^= 1 << UInt8.random(in: 0..<8, using: &random) }
      }
    }
    return bytes
  }
}

@Suite struct FuzzTests {
  static let rounds = 4_000

  /// A view has no byte that could end a line or a C string.
  func isClean(_ view: ByteView) -> Bool {
    (0..<view.count).allSatisfy {
      view[$0] == 9 || view[$0] >= 32 && view[$0] != 127
    }
  }

  /// What is accepted can be written out and read again, and says the same.
  func checkRequest(_ view: ByteView, _ head: RequestHead) throws {
    let bytes = head.bytes
    #expect(head.length <= view.count && bytes.baseAddressIsSame(as: view))
    for index in 0..<head.fields.count {
      let line = head.fields[index]
      #expect(isClean(line.value(in: bytes)) && line.nameLength > 0)
      #expect(line.known == KnownField.identify(line.name(in: bytes)))
    }
    for range in [head.target, head.path, head.authority, head.query ?? 0..<0] {
      #expect(isClean(bytes[range]) && range.upperBound <= head.length)
    }
    var text = bytes[head.methodRange].array + [0x20]
    if head.method != .connect, !head.authority.isEmpty, head.target != head.path,
      bytes[head.target].array.first == ASCII.question
    {
      text += latin1("http://") + bytes[head.authority].array
    }
    text += bytes[head.target].array + latin1(" HTTP/1.\(head.minorVersion)\r\n")
    for index in 0..<head.fields.count {
      let line = head.fields[index]
      text += line.name(in: bytes).array + latin1(":") + line.value(in: bytes).array
      text += latin1("\r\n")
    }
    text += latin1("\r\n")
    var first = ReadRequest(head)
    text.withView { again in
      let second = RequestHead()
      #expect(RequestParser.parse(again, limits: roomy, into: second) == .complete)
      var secondRead = ReadRequest(second)
      #expect(secondRead.length == text.count)
      (first.length, secondRead.length) = (0, 0)
      // Without Host, HTTP/1.0 keeps the authority in the absolute-form, which is not written.
      if !head.fields.contains(.host) { (first.authority, secondRead.authority) = ("", "") }
      #expect(first == secondRead)
    }
  }

  @Test(arguments: 1...4 as ClosedRange<UInt64>)
  func `mutated requests never trap, and what is accepted is sound`(seed: UInt64) throws {
    var mutator = Mutator(random: Seeded(state: seed))
    let seeds = [
      browserRequest,
      "POST /a?b HTTP/1.1\r\nHost: a:80\r\nContent-Length: 5\r\nExpect: 100-continue\r\n\r\n",
      "GET http://a/b HTTP/1.1\r\nHost: a\r\nConnection: upgrade\r\nUpgrade: x\r\n\r\n",
      "OPTIONS * HTTP/1.1\r\nHost:\r\n\r\n", "CONNECT [::1]:1 HTTP/1.1\r\nHost: [::1]:1\r\n\r\n",
      "GET / HTTP/1.0\r\n\r\n",
      "\r\nPUT / HTTP/1.1\r\nTransfer-Encoding: chunked\r\nHost: x\r\n\r\n",
    ].map(latin1)
    let head = RequestHead()
    var accepted = 0
    for round in 0..<FuzzTests.rounds {
      let bytes = mutator.mutate(seeds[round % seeds.count])
      try bytes.withView { view in
        let outcome = RequestParser.parse(view, limits: roomy, into: head)
        guard outcome == .complete else { return }
        accepted += 1
        try checkRequest(view, head)
      }
      // More bytes never turn a refusal into something else.
      let cut = Array(bytes.prefix(bytes.count / 2))
      if case .invalid = outcome(cut) {
        #expect(outcome(bytes) != .complete && outcome(bytes) != .incomplete)
      }
    }
    #expect(accepted > FuzzTests.rounds / 20)
  }

  @Test(arguments: 5...7 as ClosedRange<UInt64>)
  func `mutated responses never trap, and what is accepted is sound`(seed: UInt64) {
    var mutator = Mutator(random: Seeded(state: seed))
    let seeds = [
      "HTTP/1.1 200 OK\r\nContent-Length: 5\r\nETag: \"a\"\r\n\r\nhello",
      "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\nConnection: close\r\n\r\n",
      "HTTP/1.0 304 Not Modified\r\nVary: a, b\r\n\r\n",
      "HTTP/1.1 103 Early Hints\r\nLink: a\r\n\r\n",
    ].map(latin1)
    let head = ResponseHead()
    var accepted = 0
    for round in 0..<FuzzTests.rounds {
      let bytes = mutator.mutate(seeds[round % seeds.count])
      bytes.withView { view in
        let method = HTTPMessage.Method.allCases[round % HTTPMessage.Method.allCases.count]
        let outcome = ResponseParser.parse(view, limits: roomy, requestMethod: method, into: head)
        guard outcome == .complete else { return }
        accepted += 1
        #expect(head.length <= view.count && (100...599).contains(head.status))
        if head.framing == .untilClose { #expect(!head.keepAlive) }
        if method == .head || head.status == 304 { #expect(head.framing == .none) }
        for index in 0..<head.fields.count {
          #expect(isClean(head.fields[index].value(in: view)))
        }
      }
    }
    #expect(accepted > FuzzTests.rounds / 20)
  }

  @Test(arguments: 8...10 as ClosedRange<UInt64>)
  func `mutated chunked bodies read the same in every cut`(seed: UInt64) {
    var mutator = Mutator(random: Seeded(state: seed))
    let seeds = [
      "5\r\nhello\r\n0\r\n\r\n",
      "a;b=c\r\n0123456789\r\n1\r\nx\r\n0\r\nETag: a\r\nFoo: bar\r\n\r\n",
    ].map(latin1)
    for round in 0..<FuzzTests.rounds {
      let bytes = mutator.mutate(seeds[round % seeds.count])
      let whole = ChunkedResult([bytes])
      let cut = Int.random(in: 0...bytes.count, using: &mutator.random)
      #expect(ChunkedResult([Array(bytes[..<cut]), Array(bytes[cut...])]) == whole)
      #expect(ChunkedResult(bytes.map { [$0] }) == whole)
      whole.trailers.withView { trailers in
        #expect(trailers.isEmpty || trailers.array.suffix(2) == [13, 10])
      }
      if whole.last == .end { checkWritten(whole) }
    }
  }

  /// A body that was read, written as one chunk, is read as the same.
  func checkWritten(_ body: ChunkedResult) {
    var buffer = ByteBuffer()
    if !body.content.isEmpty {
      HTTP1Writer.chunkHeader(length: body.content.count, to: &buffer)
      body.content.withView { buffer.append($0) }
      buffer.append("\r\n")
    }
    body.trailers.withView { HTTP1Writer.lastChunk(trailers: $0, to: &buffer) }
    let again = ChunkedResult([buffer.view.array])
    #expect(again.last == .end && again.content == body.content)
    #expect(again.trailers == body.trailers)
  }

  @Test func `names and dates of random bytes never trap`() {
    var random = Seeded(state: 11)
    for _ in 0..<FuzzTests.rounds {
      let bytes = (0..<Int.random(in: 0..<40, using: &random)).map { _ in
        UInt8.random(in: 0x20...0x7F, using: &random)
      }
      bytes.withView { view in
        _ = KnownField.identify(view)
        _ = HTTPDate.parse(view, now: Int64(bitPattern: random.next()))
        for element in ListElements(view) { #expect(!element.isEmpty) }
      }
    }
    let date = latin1("Sunday, 06-Nov-94 08:49:37 GMT")
    var mutator = Mutator(random: random)
    for _ in 0..<FuzzTests.rounds {
      mutator.mutate(date).withView { view in
        guard let seconds = HTTPDate.parse(view, now: 1_795_262_400) else { return }
        var buffer = ByteBuffer()
        HTTPDate.append(seconds, to: &buffer)
        #expect(HTTPDate.parse(buffer.view, now: 0) == seconds)
      }
    }
  }
}

extension ByteView {
  fileprivate func baseAddressIsSame(as other: ByteView) -> Bool {
    unsafe baseAddress == other.baseAddress
  }
}
