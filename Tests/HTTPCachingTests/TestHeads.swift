// Heads from lines of text, without a parser. The bytes are never freed: a head refers to them, and a
// test's heads live as long as the test needs them.

import Bytes
import HTTPMessage

func response(_ status: UInt16, _ lines: [String]) -> ResponseHead {
  let head = ResponseHead()
  head.status = status
  (head.bytes, head.length) = fill(&head.fields, lines)
  return head
}

func response(_ status: UInt16, _ lines: String...) -> ResponseHead {
  response(status, lines)
}

func request(_ method: HTTPMessage.Method, _ lines: [String]) -> RequestHead {
  let head = RequestHead()
  head.method = method
  (head.bytes, head.length) = fill(&head.fields, lines)
  return head
}

func request(_ method: HTTPMessage.Method, _ lines: String...) -> RequestHead {
  request(method, lines)
}

/// A view of bytes that are never freed.
func view(_ bytes: [UInt8]) -> ByteView {
  let memory = UnsafeMutableRawBufferPointer.allocate(byteCount: max(bytes.count, 1), alignment: 1)
  unsafe memory.copyBytes(from: bytes)
  return unsafe ByteView(unsafe: UnsafeRawBufferPointer(memory)).prefix(bytes.count)
}

func view(_ text: String) -> ByteView { view(Array(text.utf8)) }

/// What `write` appends, as text.
func written(_ write: (inout ByteBuffer) -> Void) -> String {
  var buffer = ByteBuffer()
  write(&buffer)
  return buffer.view.string
}

private func fill(_ fields: inout FieldTable, _ lines: [String]) -> (ByteView, Int) {
  let bytes = view(lines.joined(separator: "\n"))
  var offset = 0
  for line in lines {
    let text = Array(line.utf8)
    let colon = text.firstIndex(of: UInt8(ascii: ":")) ?? text.count
    var start = min(colon + 1, text.count)
    while start < text.count, text[start] == 0x20 { start += 1 }
    let name = bytes[offset..<offset + colon]
    fields.append(
      FieldLine(
        nameOffset: UInt32(offset), nameLength: UInt16(colon), valueOffset: UInt32(offset + start),
        valueLength: UInt32(text.count - start), known: KnownField.identify(name)))
    offset += text.count + 1
  }
  return (bytes, bytes.count)
}

/// Monday, 1 January 2024, 00:00:00 GMT, in milliseconds: when responses are received in these tests.
let t0: Int64 = 1_704_067_200_000
/// The same as HTTP writes it.
let t0Date = "Mon, 01 Jan 2024 00:00:00 GMT"

/// A pseudorandom sequence (SplitMix64).
struct Seeded: RandomNumberGenerator {
  var state: UInt64
  init(_ seed: UInt64) { state = seed }
  mutating func next() -> UInt64 {
    state &+= 0x9E37_79B9_7F4A_7C15
    var mixed = state
    mixed = (mixed ^ (mixed &>> 30)) &* 0xBF58_476D_1CE4_E5B9
    mixed = (mixed ^ (mixed &>> 27)) &* 0x94D0_49BB_1331_11EB
    return mixed ^ (mixed &>> 31)
  }
}
