import Bytes
import Testing
import Tracing

@Suite("W3C Trace Context")
struct ContextTests {
  static let example = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01"

  static func read(_ text: String) -> TraceContext? { text.withView { TraceContext($0) } }

  static func text(_ context: TraceContext) -> String {
    var buffer = ByteBuffer()
    context.append(to: &buffer)
    return buffer.view.string
  }

  @Test func `the Recommendation's example is read and written`() throws {
    let context = try #require(Self.read(Self.example))
    #expect(context.traceHigh == 0x4bf9_2f35_77b3_4da6)
    #expect(context.traceLow == 0xa3ce_929d_0e0e_4736)
    #expect(context.parent == 0x00f0_67aa_0ba9_02b7)
    #expect(context.isSampled)
    #expect(Self.text(context) == Self.example)
  }

  @Test(arguments: [
    ("00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-00", false),
    ("00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-ff", true),
    ("01-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01", true),
    ("fe-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01-what.comes.then", true),
  ])
  func `flags and later versions are understood`(_ text: String, _ isSampled: Bool) {
    #expect(Self.read(text)?.isSampled == isSampled)
  }

  @Test(arguments: [
    "", "00", "ff-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01",
    "00-00000000000000000000000000000000-00f067aa0ba902b7-01",
    "00-4bf92f3577b34da6a3ce929d0e0e4736-0000000000000000-01",
    "00-4BF92F3577B34DA6A3CE929D0E0E4736-00f067aa0ba902b7-01",
    "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01-more",
    "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01 ",
    "01-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01.more",
    "00_4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01",
    "0g-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01",
    "00-4bf92f3577b34da6a3ce929d0e0e473-600f067aa0ba902b7-01",
  ])
  func `what is no traceparent is none`(_ text: String) {
    #expect(Self.read(text) == nil)
  }

  @Test func `no beginning of one, and no byte changed for another kind, is one`() {
    let bytes = Array(Self.example.utf8)
    for count in 0..<bytes.count {
      #expect(Array(bytes.prefix(count)).withView { TraceContext($0) } == nil)
    }
    for place in bytes.indices {
      for byte in [0x00, 0x20, 0x2E, 0x47, 0x67, 0x80, 0xFF] as [UInt8] {
        var changed = bytes
        changed[place] = byte
        #expect(changed.withView { TraceContext($0) } == nil, "\(place): \(byte)")
      }
    }
  }

  @Test func `whatever is written is read again`() {
    var numbers = TraceNumbers(seed: 1)
    for _ in 0..<1000 {
      let context = TraceContext(
        traceHigh: numbers.next(), traceLow: numbers.identifier(), parent: numbers.identifier(),
        isSampled: numbers.next() & 1 == 1)
      #expect(Self.read(Self.text(context)) == context)
    }
  }

  @Test func `a full queue drops and counts`() {
    let queue = TraceQueue(wake: {})
    let record = TraceRecord(
      context: TraceContext(traceHigh: 1, traceLow: 2, parent: 3, isSampled: true), span: 4,
      start: 5, end: 6)
    for _ in 0..<TraceQueue.limit { #expect(queue.append(record)) }
    #expect(!queue.append(record))
    #expect(queue.counts.lost == 1)
    #expect(queue.take(most: 10).count == 10)
    #expect(queue.append(record))
    #expect(queue.take(most: .max).count == TraceQueue.limit - 9)
    queue.close()
    #expect(!queue.append(record))
  }
}
