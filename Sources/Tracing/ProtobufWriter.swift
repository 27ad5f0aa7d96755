package import Bytes

/// Writes the wire format of Protocol Buffers: as much of it as OTLP's messages need. A message is put
/// in front of nothing: its length is written before its fields, once these are there.
package struct ProtobufWriter: ~Copyable {
  /// What was written.
  package private(set) var buffer = ByteBuffer()

  /// Nothing yet.
  package init() {}

  /// What was written, and nothing more of it here.
  package consuming func take() -> ByteBuffer { buffer }

  /// A varint: seven bits to a byte, the lowest first.
  mutating func varint(_ value: UInt64) {
    var rest = value
    while rest >= 0x80 {
      buffer.append(UInt8(truncatingIfNeeded: rest) | 0x80)
      rest &>>= 7
    }
    buffer.append(UInt8(truncatingIfNeeded: rest))
  }

  private mutating func tag(_ field: UInt64, _ type: UInt64) { varint(field &<< 3 | type) }

  /// A number; 0 is the default, and not written.
  package mutating func number(_ field: UInt64, _ value: UInt64) {
    if value == 0 { return }
    tag(field, 0)
    varint(value)
  }

  /// A number of a choice (`oneof`), which is written whatever it is.
  package mutating func integer(_ field: UInt64, _ value: UInt64) {
    tag(field, 0)
    varint(value)
  }

  /// Eight bytes, little-endian.
  package mutating func fixed(_ field: UInt64, _ value: UInt64) {
    tag(field, 1)
    buffer.append(littleEndian: value)
  }

  /// A text; nothing for an empty one.
  package mutating func text(_ field: UInt64, _ value: String) {
    if value.isEmpty { return }
    tag(field, 2)
    varint(UInt64(value.utf8.count))
    buffer.append(text: value)
  }

  /// Bytes: words, each big-endian.
  package mutating func bytes(_ field: UInt64, _ words: UInt64...) {
    tag(field, 2)
    varint(UInt64(words.count * 8))
    for word in words { buffer.append(littleEndian: word.byteSwapped) }
  }

  /// A message, whose fields `body` writes.
  package mutating func message(_ field: UInt64, _ body: (inout ProtobufWriter) -> Void) {
    var inner = ProtobufWriter()
    body(&inner)
    tag(field, 2)
    varint(UInt64(inner.buffer.count))
    buffer.append(inner.buffer.view)
  }
}
