import Authentication
import Bytes
import Cryptography
import EventLoop
import Testing

/// The JSON Web Signature vectors of Project Wycheproof.
@Suite(.enabled(if: sharedData != nil, "the folder with shared test data is missing"))
struct WycheproofTests {
  /// Vectors that the file has wrong.
  ///
  /// - 367 and 370 should have padding, which was lost when the file was made: their text is, byte
  ///   for byte, that of 357, which is valid.
  /// - 372 and 373 have a `?` in the header or payload and are marked valid; RFC 7515 §2 has no such
  ///   letter, and the code was made over a text without it.
  private static let mistaken: [Int: Bool] = [367: true, 370: true, 372: false, 373: false]

  /// Keys whose `alg` is not the one that their valid token is signed with (RFC 7520 has it right):
  /// the vectors are tested with what the key should say, and with the key as it is they must fail.
  private static let mended = [346: "PS384", 350: "PS384", 347: "ES512", 351: "ES512"]

  @Test func `every vector has the result that it should have`() throws {
    let path = try #require(sharedData) + "/jws/wycheproof-json-web-signature.json"
    let content = try SmallFile.read(path, maxBytes: 1 << 24)
    var file = JSONDocument()
    let limits = JSONLimits(bytes: 1 << 24, depth: 16, nodes: 1 << 20, members: 1024)
    try content.withView { try file.read($0, limits: limits) }
    var tested = 0
    let list = file.member(of: 0, named: ByteView("testGroups"))
    let groups = try #require(list)
    var group = groups + 1
    while group < file.end(of: groups) {
      let key =
        file.member(of: group, named: ByteView("public"))
        ?? file.member(of: group, named: ByteView("private"))
      let description = try keyText(file, try #require(key))
      let list = file.member(of: group, named: ByteView("tests"))
      let tests = try #require(list)
      var test = tests + 1
      while test < file.end(of: tests) {
        try check(file, test, description)
        tested += 1
        test = file.end(of: test)
      }
      group = file.end(of: group)
    }
    #expect(tested == 401)
  }

  private func check(_ file: borrowing JSONDocument, _ test: Int, _ key: [String: String]) throws {
    let id = file.member(of: test, named: ByteView("tcId")).map { file.text(of: $0) }
    let number = Int(try #require(id.flatMap { JSONNumber.integer($0) }))
    let text = file.string(of: test, named: ByteView("jws"))
    let token = try #require(text)
    let result = file.string(of: test, named: ByteView("result"))
    let isValid = Self.mistaken[number] ?? (result == ByteView("valid"))
    var key = key
    if let algorithm = Self.mended[number] {
      #expect(!accepts(token, key), "vector \(number) with a key for another algorithm")
      key["alg"] = "\"\(algorithm)\""
    }
    #expect(accepts(token, key) == isValid, "vector \(number)")
  }

  /// Whether a token is accepted with a key, whose `alg` is the only one that is allowed.
  private func accepts(_ token: ByteView, _ key: [String: String]) -> Bool {
    let text = "{" + key.map { "\"\($0.key)\":\($0.value)" }.joined(separator: ",") + "}"
    guard let set = try? text.withView({ try KeySet.read($0, allowsSecrets: true) }) else {
      return false
    }
    let algorithms = AlgorithmSet(set.keys.flatMap(\.algorithms))
    let keys = WorkerKeys(set, algorithms: algorithms)
    var check = SignatureCheck()
    return (try? check.verify(token, keys: keys, algorithms: algorithms)) != nil
  }

  /// The members of a key as JSON, without those of the private half.
  private func keyText(_ file: borrowing JSONDocument, _ key: Int) throws -> [String: String] {
    var members: [String: String] = [:]
    var node = key + 1
    while node < file.end(of: key) {
      let name = file.text(of: node).string
      let value = node + 1
      if file.kind(of: value) == .string {
        members[name] = "\"\(file.text(of: value).string)\""
      } else {
        // `key_ops`, a list of strings.
        var element = value + 1
        var list: [String] = []
        while element < file.end(of: value) {
          list.append("\"\(file.text(of: element).string)\"")
          element = file.end(of: element)
        }
        members[name] = "[\(list.joined(separator: ","))]"
      }
      node = file.end(of: value)
    }
    for name in ["d", "p", "q", "dp", "dq", "qi"] { members[name] = nil }
    return members
  }
}
