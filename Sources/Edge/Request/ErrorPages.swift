// Pages for errors that the node itself answers, as a worker uses them: cut at what is put in for each
// request.

internal import Bytes
internal import Configuration
internal import StaticFiles

/// A page; see the top of this file.
struct ErrorPage {
  private enum Piece {
    case bytes([UInt8])
    case requestID
    case status
  }

  private let statuses: [ClosedRange<UInt16>]
  private var pieces: [Piece] = []
  /// What `Content-Type` says.
  let type: [UInt8]
  /// Whether it shows what the request is called.
  private(set) var showsRequestID = false

  init(_ configuration: ErrorPageConfiguration) {
    statuses = configuration.statuses
    type = Array(Self.type(of: configuration).utf8)
    cut(configuration.content)
  }

  private static func type(of page: ErrorPageConfiguration) -> String {
    if let fileExtension = page.fileExtension { return ContentTypes.type(of: fileExtension) }
    return ContentTypes.type(of: page.content.first == UInt8(ascii: "<") ? "html" : "txt")
  }

  private mutating func cut(_ content: [UInt8]) {
    var start = 0
    var place = 0
    while place < content.count {
      let rest = content[place...]
      if content[place] == UInt8(ascii: "{"), let (piece, length) = Self.piece(at: rest) {
        if start < place { pieces.append(.bytes(Array(content[start..<place]))) }
        pieces.append(piece)
        if case .requestID = piece { showsRequestID = true }
        place += length
        start = place
      } else {
        place += 1
      }
    }
    if start < content.count { pieces.append(.bytes(Array(content[start...]))) }
  }

  private static func piece(at rest: ArraySlice<UInt8>) -> (Piece, length: Int)? {
    if rest.starts(with: "{request_id}".utf8) { return (.requestID, 12) }
    return rest.starts(with: "{status}".utf8) ? (.status, 8) : nil
  }

  func isFor(_ status: UInt16) -> Bool { statuses.contains { $0.contains(status) } }

  /// Appends the page's content.
  func append(status: UInt16, requestID: ByteView, to buffer: inout ByteBuffer) {
    for piece in pieces {
      switch piece {
      case .bytes(let bytes): bytes.withView { buffer.append($0) }
      case .requestID: buffer.append(requestID)
      case .status: buffer.append(decimal: UInt64(status))
      }
    }
  }
}
