internal import Bytes
internal import DemoOrigin

/// Content as it is read.
struct Content: Sendable {
  var kept: [UInt8] = []
  var length = 0
  var trailers: [PeerField] = []
  let policy: ContentPolicy

  init(_ policy: ContentPolicy) { self.policy = policy }

  /// Takes a run of bytes; false if it is not what it should be.
  mutating func take(_ bytes: [UInt8]) -> Bool {
    defer { length += bytes.count }
    switch policy {
    case .keep: kept += bytes
    case .discard: break
    case .verify(let expected): return expected.matches(bytes, at: length)
    }
    return true
  }
}

extension Wire {
  /// How the fields say the content is framed; nil if they say nothing (RFC 9112 §6).
  func framing(of fields: [PeerField], _ doing: String) throws(PeerFailure) -> Framing? {
    let lengths = fields.values(of: "content-length")
    let codings = fields.values(of: "transfer-encoding")
    guard lengths.isEmpty || codings.isEmpty else {
      throw failure(.malformed, "\(doing): both Transfer-Encoding and Content-Length: \(fields)")
    }
    if !codings.isEmpty {
      guard codings.count == 1, codings[0].lowercased() == "chunked" else {
        throw failure(.malformed, "\(doing): Transfer-Encoding \(codings), not chunked alone")
      }
      return .chunked
    }
    guard let text = lengths.first else { return nil }
    guard lengths.count == 1, !text.isEmpty, text.utf8.allSatisfy(ASCII.isDigit),
      let length = Int(text)
    else { throw failure(.malformed, "\(doing): Content-Length \(lengths)") }
    return .length(length)
  }

  /// Reads content of that framing.
  func readContent(_ framing: Framing, _ policy: ContentPolicy) async throws(PeerFailure) -> Content
  {
    var content = Content(policy)
    switch framing {
    case .none: break
    case .length(let length): try await read(length, into: &content, "content by length")
    case .chunked: try await readChunks(into: &content)
    case .close:
      repeat { try take(takeUnread(), into: &content) } while try await fill("content to the end")
    }
    return content
  }

  private func readChunks(into content: inout Content) async throws(PeerFailure) {
    while true {
      let line = try await readLine("a chunk's size, \(content.length) bytes of content read")
      guard !line.isEmpty, line.count <= 15, line.utf8.allSatisfy({ ASCII.hexValue($0) != nil }),
        let size = Int(line, radix: 16)
      else { throw failure(.malformed, "a chunk's size is \(line.debugDescription)") }
      if size == 0 { break }
      try await read(size, into: &content, "a chunk of \(size) bytes")
      let end = try await readLine("the end of a chunk of \(size) bytes")
      guard end.isEmpty else {
        throw failure(.malformed, "\(end.debugDescription) behind a chunk of \(size) bytes")
      }
    }
    content.trailers = try await readFields("trailers")
  }

  private func read(
    _ count: Int, into content: inout Content, _ doing: String
  ) async throws(PeerFailure) {
    var missing = count
    while missing > 0 {
      let bytes = takeUnread(missing)
      missing -= bytes.count
      try take(bytes, into: &content)
      guard missing > 0 else { return }
      guard try await fill("\(doing), \(missing) of \(count) bytes missing") else {
        throw failure(.ended, "\(doing): ended with \(missing) of \(count) bytes missing")
      }
    }
  }

  private func take(_ bytes: [UInt8], into content: inout Content) throws(PeerFailure) {
    let start = content.length
    if !content.take(bytes) {
      throw failure(
        .unexpected, "other content than expected in the \(bytes.count) bytes at \(start)")
    }
  }
}
