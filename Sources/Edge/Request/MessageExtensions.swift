internal import Bytes
internal import HTTPCaching
internal import HTTPMessage
internal import ObjectStore

extension ObjectStore {
  /// The tag that every response of a target URI carries, given its primary cache key. The zero byte
  /// keeps it apart from what an origin can send as a tag.
  func tagHash(ofKey key: ByteView) -> UInt64 {
    var text = ByteBuffer(capacity: key.count + 2)
    text.append(0 as UInt8)
    text.append(0x75 as UInt8)
    text.append(key)
    return tagHash(text.view)
  }
}

extension ObjectStore {
  /// The tag that every response of a host carries, whatever the port.
  func tagHash(ofHost authority: ByteView) -> UInt64 {
    var text = ByteBuffer(capacity: authority.count + 2)
    text.append(0 as UInt8)
    text.append(0x68 as UInt8)
    RequestTarget.appendHost(authority, to: &text)
    return tagHash(text.view)
  }
}

extension StoreReader {
  /// The stored response that a request would be answered with, fresh or not.
  func find(
    _ primary: Hash128, key: ByteView, request: RequestHead, store: ObjectStore
  ) -> StoredResponse? {
    switch lookup(primary, key: key) {
    case .found(let response): return response
    case .miss: return nil
    case .varies(let rules):
      for index in 0..<rules.count {
        let rule = rules.rule(index)
        var values = ByteBuffer(capacity: 256)
        VaryRule.appendValues(rule: rule, request: request, to: &values)
        if let response = lookupVariant(
          primary: primary, key: key, rule: rule, values: values.view)
        {
          return response
        }
      }
      return nil
    }
  }
}

extension RequestDirectives {
  /// Whether an answer may be kept.
  var permitsStoring: Bool { !noStore }

  /// Whether only an answer that the origin gives from now on will do.
  var demandsValidation: Bool { noCache || maxAge != nil }
}

extension RequestHead {
  /// Whether there is a line of a name, which is given in lower case.
  func hasField(_ name: StaticString) -> Bool {
    var isThere = false
    fields.forEach(named: ByteView(name), in: bytes) { _ in isThere = true }
    return isThere
  }

  /// Forgets what was parsed: of a request that was none, nothing is to be believed.
  func reset() {
    bytes = ByteView()
    method = .get
    methodRange = 0..<0
    target = 0..<0
    path = 0..<0
    query = nil
    authority = 0..<0
    minorVersion = 1
    fields.removeAll()
    framing = .none
    keepAlive = false
    expectsContinue = false
    wantsUpgrade = false
    length = 0
  }
}

/// Numbers in fields.
enum Decimal {
  /// A number of decimal digits and nothing else; nil if it is none or too large.
  static func parse(_ bytes: ByteView) -> UInt64? {
    guard !bytes.isEmpty else { return nil }
    var value: UInt64 = 0
    for index in 0..<bytes.count {
      guard ASCII.isDigit(bytes[index]) else { return nil }
      let (product, tooLarge) = value.multipliedReportingOverflow(by: 10)
      let (sum, overflow) = product.addingReportingOverflow(UInt64(bytes[index] &- 0x30))
      if tooLarge || overflow { return nil }
      value = sum
    }
    return value
  }
}

extension StoredResponse {
  /// The hashes of everything it can be purged by.
  var allTags: [UInt64] { (0..<tagCount + implicitTagCount).map { tag($0) } }
}

extension StorageRefusal {
  /// Whether the refusal says something about this request only, and nothing about the key's answers.
  var isTheRequests: Bool {
    switch self {
    case .authorization, .requestNoStore, .statusAnswersOneRequest, .methodNotCacheable,
      .tooFewUses:
      true
    default: false
    }
  }
}
