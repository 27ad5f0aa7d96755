import Bytes
import HTTPCaching
import Testing

@Suite("Content without an end of its own")
struct EndlessContentTests {
  @Test(arguments: [
    ("text/event-stream", true), ("Text/Event-Stream; charset=utf-8", true),
    ("multipart/x-mixed-replace;boundary=x", true), ("application/grpc", true),
    ("application/grpc+proto", true), ("application/grpc-web-text", true),
    ("application/grpcx", false), ("application/grp", false), ("text/event-streams", false),
    ("text/plain", false), ("", false),
  ])
  func `is told by its type`(type: String, isEndless: Bool) {
    #expect(Array(type.utf8).withView { EndlessContent.isType($0) } == isEndless)
  }

  @Test func `content without a type is not`() { #expect(!EndlessContent.isType(nil)) }
}
