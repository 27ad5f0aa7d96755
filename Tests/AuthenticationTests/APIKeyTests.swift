import Authentication
import Bytes
import Cryptography
import Testing

private func read(_ text: String) throws -> APIKeySet {
  try text.withView { try APIKeySet.read($0, file: "keys") }
}

private func defect(_ text: String) -> String? {
  do {
    _ = try read(text)
    return nil
  } catch {
    return "\(error)"
  }
}

@Suite struct APIKeyTests {
  private static let digest = "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"

  @Test func `a key is found by what it is, with its name and attributes`() throws {
    let set = try read(
      """
      # The shop's keys

      backend:\(Self.digest):plan=gold,role=writer,note=a:b c
      other:\(Self.digest.uppercased().replacing("BA", with: "BB"))\r
      """)
    #expect(set.count == 2)
    let check = try APIKeyCheck(Published(set))
    let match = try #require("abc".withView { check.find($0) })
    #expect(match.name == ByteView("backend"))
    #expect(match.attribute(ByteView("plan")) == ByteView("gold"))
    #expect(match.attribute(ByteView("role")) == ByteView("writer"))
    #expect(match.attribute(ByteView("note")) == ByteView("a:b c"))
    #expect(match.attribute(ByteView("rol")) == nil)
    #expect(match.attribute(ByteView("")) == nil)
    for other in ["", "ab", "abcd", "ABC", Self.digest] {
      #expect(other.withView { check.find($0) } == nil)
    }
  }

  @Test func `one among a hundred thousand is found, and no other`() throws {
    var lines: [String] = []
    for number in 0..<100_000 {
      lines.append(try #require(try APIKeyLine.line(name: "n\(number)", key: "key \(number)")))
    }
    let check = try APIKeyCheck(Published(try read(lines.joined(separator: "\n"))))
    for number in stride(from: 0, to: 100_000, by: 997) {
      let match = "key \(number)".withView { check.find($0) }
      #expect(match?.name.string == "n\(number)")
      #expect("key \(number + 100_000)".withView { check.find($0) } == nil)
    }
  }

  @Test func `a new file counts from the next key on`() throws {
    let source = Published(APIKeySet())
    let check = try APIKeyCheck(source)
    #expect("abc".withView { check.find($0) } == nil)
    source.publish(try read("a:\(Self.digest)"))
    let match = try #require("abc".withView { check.find($0) })
    source.publish(APIKeySet())
    #expect("abc".withView { check.find($0) } == nil)
    // Who was let in keeps what he was let in with.
    #expect(match.name == ByteView("a"))
  }

  @Test func `a made key is in its line, and no two are the same`() throws {
    let first = try #require(try APIKeyLine.make(name: "a", attributes: "plan=gold"))
    let second = try #require(try APIKeyLine.make(name: "b"))
    #expect(first.key != second.key)
    #expect(first.key.utf8.count == 43)
    #expect(!first.line.contains(first.key))
    let check = try APIKeyCheck(Published(try read(first.line + "\n" + second.line + "\n")))
    let match = try #require(first.key.withView { check.find($0) })
    #expect(match.name == ByteView("a"))
    #expect(match.attribute(ByteView("plan")) == ByteView("gold"))
    for (name, attributes) in [("", ""), ("a:b", ""), ("a b", ""), ("a", "x"), ("a", "x=1,")] {
      #expect(try APIKeyLine.make(name: name, attributes: attributes) == nil)
    }
  }

  @Test(arguments: [
    ("a", "keys:1: expected name:sha256 or name:sha256:attributes"),
    ("#\n\na:12", "keys:3: expected the key's SHA-256 in 64 hexadecimal digits"),
    ("a:\(digest)0", "keys:1: expected the key's SHA-256 in 64 hexadecimal digits"),
    (":\(digest)", "keys:1: the name must have letters"),
    ("a b:\(digest)", "keys:1: the name must have letters"),
    ("a:\(digest):x", "keys:1: attributes must be name=value"),
    ("a:\(digest):x=1,", "keys:1: attributes must be name=value"),
    ("a:\(digest):=1", "keys:1: attributes must be name=value"),
    ("a:\(digest)\nb:\(digest)", "keys:2: the key is there twice"),
    ("a:\(digest):x=\u{1}", "keys:1: the line has a control character"),
    (String(repeating: "a", count: 5_000), "keys:1: the line is longer than 4096 bytes"),
  ])
  func `a line that is wrong is refused with its number`(text: String, begin: String) {
    #expect(defect(text)?.hasPrefix(begin) == true, "\(defect(text) ?? "accepted")")
  }

  @Test func `a file that is missing is said to be`() {
    #expect(throws: CredentialDefect.self) { _ = try APIKeySet.load("/nonexistent/keys") }
  }
}
