import Bytes
import HTTP1
import HTTPMessage
import Testing

@testable import StaticFiles

@Suite struct RequestTests {
  private let text: StaticString = """
    HEAD /a%20b?x=1 HTTP/1.1\r\nHost: shop\r\nAccept-Encoding: br\r\nAccept-Encoding: gzip\r\n\
    Range: bytes=0-1\r\nIf-Range: "x"\r\nIf-None-Match: "a"\r\nIf-None-Match: "b"\r\n\
    If-Match: *\r\nIf-Modified-Since: never\r\nIf-Unmodified-Since: ever\r\n\r\n
    """

  private func head() throws -> RequestHead {
    let head = RequestHead()
    let limits = HeadLimits(maxRequestLine: 1000, maxHead: 1000, maxFields: 20)
    #expect(RequestParser.parse(ByteView(text), limits: limits, into: head) == .complete)
    return head
  }

  private func string(_ bytes: [UInt8]?) -> String? {
    bytes.map { String(decoding: $0, as: UTF8.self) }
  }

  @Test func `a request asks for what its fields say, of all their lines`() throws {
    let request = FileRequest(try head(), isFill: false)
    #expect(request.method == .head && string(request.path) == "/a%20b")
    #expect(string(request.query) == "x=1" && string(request.acceptEncoding) == "br, gzip")
    #expect(string(request.range) == "bytes=0-1" && string(request.ifRange) == "\"x\"")
    #expect(string(request.ifNoneMatch) == "\"a\", \"b\"" && string(request.ifMatch) == "*")
    #expect(string(request.ifModifiedSince) == "never")
    #expect(string(request.ifUnmodifiedSince) == "ever")
  }

  @Test func `a fill asks for the whole`() throws {
    let request = FileRequest(try head(), isFill: true)
    #expect(request.method == .get && string(request.acceptEncoding) == "br, gzip")
    #expect(request.range == nil && request.ifRange == nil && request.ifNoneMatch == nil)
    #expect(request.ifMatch == nil && request.ifModifiedSince == nil)
    #expect(request.ifUnmodifiedSince == nil)
  }
}
