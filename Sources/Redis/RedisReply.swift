internal import Bytes

/// What a Redis server answers (RESP2).
package enum RedisReply: Sendable, Equatable {
  /// Nothing is there.
  case null
  /// A number.
  case integer(Int64)
  /// A short word such as `OK`.
  case status(String)
  /// A string of bytes.
  case bytes([UInt8])
  /// Several replies.
  case array([RedisReply])
  /// The command was refused; the text begins with a word in capitals such as `READONLY`.
  case error(String)

  /// The elements; none of what is no array.
  package var elements: [RedisReply] { if case .array(let list) = self { list } else { [] } }

  /// The bytes of a string or a status.
  package var content: [UInt8]? {
    switch self {
    case .bytes(let bytes): bytes
    case .status(let text): Array(text.utf8)
    default: nil
    }
  }

  /// The text of a string or a status.
  package var text: String? { content.map { String(decoding: $0, as: UTF8.self) } }

  /// A number, also one that is written as a string.
  package var number: Int64? {
    if case .integer(let value) = self { return value }
    return text.flatMap { Int64($0) }
  }

  /// The refusal's text.
  package var refusal: String? { if case .error(let text) = self { text } else { nil } }

  /// Whether the command was refused because the key that it names does not exist.
  package var isMissingKey: Bool { refusal?.contains("no such key") ?? false }

  /// The value after a name in a flat list of names and values, as `XINFO` and `HGETALL` answer.
  package subscript(name: String) -> RedisReply? {
    let list = elements
    for index in stride(from: 0, to: list.count - 1, by: 2) where list[index].text == name {
      return list[index + 1]
    }
    return nil
  }
}

/// A command: its words, as bytes.
package struct RedisCommand: Sendable, Equatable, ExpressibleByArrayLiteral {
  /// The words.
  package var words: [[UInt8]]

  /// A command of texts.
  package init(arrayLiteral words: String...) { self.words = words.map { Array($0.utf8) } }

  /// A command of texts.
  package init(_ words: [String]) { self.words = words.map { Array($0.utf8) } }

  /// Adds a word.
  package mutating func add(_ word: [UInt8]) { words.append(word) }

  /// Adds a word.
  package mutating func add(_ word: String) { words.append(Array(word.utf8)) }

  /// Appends the command as it goes over the wire: an array of strings.
  func append(to buffer: inout ByteBuffer) {
    buffer.append(0x2A as UInt8)
    buffer.append(decimal: words.count)
    buffer.append("\r\n")
    for word in words {
      buffer.append(0x24 as UInt8)
      buffer.append(decimal: word.count)
      buffer.append("\r\n")
      word.withView { buffer.append($0) }
      buffer.append("\r\n")
    }
  }
}
