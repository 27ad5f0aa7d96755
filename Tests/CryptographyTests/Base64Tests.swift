import Bytes
import Cryptography
import Testing

@Suite struct Base64Tests {
  @Test(arguments: [
    ("", ""), ("f", "Zg"), ("fo", "Zm8"), ("foo", "Zm9v"), ("foob", "Zm9vYg"),
    ("fooba", "Zm9vYmE"), ("foobar", "Zm9vYmFy"),
  ])
  func `text is encoded as RFC 4648 §10 has it, without padding`(plain: String, text: String) throws
  {
    #expect(Base64URL.encode(Array(plain.utf8)) == text)
    #expect(try base64(text) == Array(plain.utf8))
  }

  @Test(arguments: [
    "Zg==", "Zg=", "Zm9v=", "Z", "Zm9vY", " Zg", "Zg ", "Z g", "Zg\n", "Zm+v", "Zm/v", "Zm9v\0",
    "Zh", "Zm9", "Zm\u{E9}", "....",
  ])
  func `a text that is not the only one for its bytes is refused`(text: String) {
    #expect(text.withView { Base64URL.decode($0) } == nil)
  }

  @Test func `of all texts of two and three letters, only those without stray bits are read`() {
    let letters = Array("ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_".utf8)
    for (value, letter) in letters.enumerated() {
      let two = [letters[7], letter].withView { Base64URL.decode($0) }
      #expect((two != nil) == (value % 16 == 0))
      let three = [letters[7], letters[9], letter].withView { Base64URL.decode($0) }
      #expect((three != nil) == (value % 4 == 0))
    }
  }

  @Test func `what is refused leaves the buffer as it was`() {
    var buffer = ByteBuffer()
    buffer.append("before")
    #expect(!"Zm9vZ*9v".withView { Base64URL.decode($0, onto: &buffer) })
    #expect(buffer.view == ByteView("before"))
    #expect("Zm9v".withView { Base64URL.decode($0, onto: &buffer) })
    #expect(buffer.view == ByteView("beforefoo"))
  }

  @Test func `all bytes of any length come back`() throws {
    var numbers = SeededNumbers(state: 1)
    for length in 0..<200 {
      let bytes = (0..<length).map { _ in UInt8.random(in: 0...255, using: &numbers) }
      #expect(try base64(Base64URL.encode(bytes)) == bytes)
    }
  }

  @Test(arguments: [
    ("QWxhZGRpbjpvcGVuIHNlc2FtZQ==", "Aladdin:open sesame"), ("Zm8=", "fo"), ("Zm9v", "foo"),
    ("", ""),
  ])
  func `credentials are read with their padding`(text: String, plain: String) {
    var buffer = ByteBuffer()
    #expect(text.withView { Base64.decode($0, onto: &buffer) })
    #expect(buffer.view.string == plain)
  }

  @Test(arguments: ["Zm8", "Zg=", "Z===", "====", "=", "Zm-v", "Zm_v", "Zm8=Zm8=", "Zh=="])
  func `credentials without their padding, or in the other alphabet, are refused`(text: String) {
    var buffer = ByteBuffer()
    #expect(!text.withView { Base64.decode($0, onto: &buffer) })
  }
}
