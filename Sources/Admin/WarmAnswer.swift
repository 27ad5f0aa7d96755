internal import Bytes

/// What came of a URL.
enum WarmOutcome: Equatable {
  /// An answer, whole.
  case answered(status: Int, isHit: Bool, bytes: UInt64)
  /// None.
  case failed(String)
}

/// Reads an answer on a connection that ends with it: the head is kept, the content counted.
struct AnswerReader: ~Copyable {
  private var head = ByteBuffer()
  private var isInHead = true
  private var bytes: UInt64 = 0
  private let limit: Int
  private(set) var kept: [UInt8] = []

  init(keeping limit: Int) { self.limit = limit }

  mutating func take(_ view: ByteView) {
    guard isInHead else { return content(view) }
    // Heads are at most 64 KiB here; what is longer is none.
    let before = head.count
    head.append(view)
    let end = ByteView("\r\n\r\n")
    var place = max(0, before - 3)
    while place + 4 <= head.count {
      if head.view[place..<place + 4] == end {
        isInHead = false
        let rest = head.view.dropping(first: place + 4).array
        head.truncate(to: place + 2)
        return rest.withView { content($0) }
      }
      place += 1
    }
  }

  private mutating func content(_ view: ByteView) {
    bytes &+= UInt64(view.count)
    if kept.count < limit { kept.append(contentsOf: view.prefix(limit - kept.count).array) }
  }

  /// The answer, once the connection has ended.
  var outcome: WarmOutcome {
    let words = head.view.prefix(16).string.split(separator: " ")
    guard !isInHead, words.count > 1, let status = Int(words[1]) else {
      return .failed("no answer")
    }
    let text = head.view.string.lowercased()
    if let length = value(of: "content-length", in: text).flatMap({ UInt64($0) }), length != bytes {
      return .failed("the answer was cut off")
    }
    let isHit = value(of: "cache-status", in: text)?.contains("; hit") ?? false
    return .answered(status: status, isHit: isHit, bytes: bytes)
  }

  private func value(of name: String, in text: String) -> String? {
    for line in text.split(separator: "\r\n") where line.hasPrefix("\(name):") {
      return line.dropFirst(name.count + 1).trimmingPrefix(" ").description
    }
    return nil
  }
}
