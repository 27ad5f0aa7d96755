// Sets of keys (RFC 7517). A key that cannot be used is left out with its reason (RFC 7517 §5 wants it so:
// an issuer may add a kind of key that we do not know); a text that is no set of keys is refused whole.

package import Bytes
package import Cryptography

/// A key of a set, checked and ready to be made into a `VerificationKey` by any thread.
package struct KeyDescription: Sendable, Hashable {
  /// The key's name, as bytes; nil if it has none.
  package let id: [UInt8]?
  /// What it consists of.
  package let material: KeyMaterial
  /// The only algorithm that it may be used with; nil if the set does not say.
  package let algorithm: SignatureAlgorithm?

  /// A key.
  package init(id: [UInt8]?, material: KeyMaterial, algorithm: SignatureAlgorithm?) {
    self.id = id
    self.material = material
    self.algorithm = algorithm
  }

  /// The algorithms that the key fits.
  package var algorithms: [SignatureAlgorithm] {
    if let algorithm { return [algorithm] }
    return SignatureAlgorithm.allCases.filter(material.fits)
  }
}

/// Why a text is no set of keys.
package enum KeySetDefect: Error, Equatable, Sendable, CustomStringConvertible {
  /// Not JSON that is accepted.
  case json(JSONDefect)
  /// Not an object with an array `keys`, and not a key itself.
  case notAKeySet
  /// More than 64 keys.
  case tooManyKeys
  /// No key of it can be used; the reasons of the first ones.
  case noUsableKey([IgnoredKey])

  /// What is wrong, in a few words.
  package var description: String {
    switch self {
    case .json(let defect): "not a JSON text that is accepted: \(defect)"
    case .notAKeySet: "not an object with an array \"keys\""
    case .tooManyKeys: "more than \(KeySet.maxKeys) keys"
    case .noUsableKey(let ignored):
      "no usable key" + (ignored.isEmpty ? "" : ": \(ignored[0].reason)")
    }
  }
}

/// A key that was left out.
package struct IgnoredKey: Sendable, Equatable {
  /// Its number in the set, from 0.
  package let index: Int
  /// Why.
  package let reason: IgnoreReason

  /// A key that was left out.
  package init(index: Int, reason: IgnoreReason) {
    self.index = index
    self.reason = reason
  }
}

/// Why a key of a set is not used.
package enum IgnoreReason: Error, Sendable, Equatable, CustomStringConvertible {
  /// Not an object, or without a member that its kind must have, or with one of the wrong type.
  case malformed
  /// A kind of key, or a curve, that is not supported.
  case unsupportedKind
  /// `use` or `key_ops` say that it is not for checking signatures.
  case otherUse
  /// `alg` names an algorithm that is not supported, or that the key does not fit.
  case unsupportedAlgorithm
  /// A secret in a set that came over the network, where nobody should be able to read one.
  case secretFromNetwork
  /// A name longer than 256 bytes.
  case nameTooLong
  /// The key itself is bad.
  case defect(KeyDefect)

  /// The reason, in a few words.
  package var description: String {
    switch self {
    case .malformed: "malformed key"
    case .unsupportedKind: "unsupported kind of key"
    case .otherUse: "not a key for checking signatures"
    case .unsupportedAlgorithm: "unsupported algorithm, or one that the key does not fit"
    case .secretFromNetwork: "a secret in a key set from the network"
    case .nameTooLong: "kid longer than 256 bytes"
    case .defect(let defect): "\(defect)"
    }
  }
}

/// The keys that may have signed a token.
package struct KeySet: Sendable, Equatable {
  /// Keys that can be used, in the order of the set.
  package let keys: [KeyDescription]
  /// Keys that were left out.
  package let ignored: [IgnoredKey]
  static var maxKeys: Int { 64 }

  /// A set of the given keys.
  package init(keys: [KeyDescription], ignored: [IgnoredKey] = []) {
    self.keys = keys
    self.ignored = ignored
  }

  /// Reads a set of keys, or a single key. `allowsSecrets` is for sets from a file. Off the workers:
  /// every key is made once to see whether it can be.
  package static func read(
    _ text: ByteView, allowsSecrets: Bool
  ) throws(KeySetDefect) -> KeySet {
    let document: JSONDocument
    do throws(JSONDefect) {
      document = try JSONDocument.reading(text, limits: .keySet)
    } catch {
      throw .json(error)
    }
    var keys: [KeyDescription] = []
    var ignored: [IgnoredKey] = []
    for (index, node) in try nodes(document).enumerated() {
      do throws(IgnoreReason) {
        keys.append(try KeyReader.key(document, node, allowsSecrets))
      } catch {
        ignored.append(IgnoredKey(index: index, reason: error))
      }
    }
    guard !keys.isEmpty else { throw .noUsableKey(ignored) }
    return KeySet(keys: keys, ignored: ignored)
  }

  /// The nodes of all keys.
  private static func nodes(_ document: borrowing JSONDocument) throws(KeySetDefect) -> [Int] {
    guard let list = document.member(of: 0, named: ByteView("keys")) else {
      guard document.member(of: 0, named: ByteView("kty")) != nil else { throw .notAKeySet }
      return [0]
    }
    guard document.kind(of: list) == .array else { throw .notAKeySet }
    guard document.count(of: list) <= maxKeys else { throw .tooManyKeys }
    var nodes: [Int] = []
    var node = list + 1
    while node < document.end(of: list) {
      nodes.append(node)
      node = document.end(of: node)
    }
    return nodes
  }
}

/// Reads one key (RFC 7517 §4, RFC 7518 §6, RFC 8037 §2).
private enum KeyReader {
  static func key(
    _ document: borrowing JSONDocument, _ node: Int, _ allowsSecrets: Bool
  ) throws(IgnoreReason) -> KeyDescription {
    try checkUse(document, node)
    let material = try material(document, node)
    if case .secret = material, !allowsSecrets { throw .secretFromNetwork }
    let id = try optionalText(document, node, ByteView("kid"))
    guard id?.count ?? 0 <= 256 else { throw .nameTooLong }
    let algorithm = try algorithm(document, node, material)
    let key = KeyDescription(id: id?.array, material: material, algorithm: algorithm)
    try check(key)
    return key
  }

  /// Throws unless the key can be made for an algorithm. One is enough but for secrets, whose length
  /// rules algorithms out one by one.
  private static func check(_ key: KeyDescription) throws(IgnoreReason) {
    var reason = IgnoreReason.unsupportedAlgorithm
    for algorithm in key.algorithms {
      do throws(KeyDefect) {
        _ = try VerificationKey(key.material, for: algorithm)
        return
      } catch {
        reason = .defect(error)
      }
    }
    throw reason
  }

  private static func checkUse(
    _ document: borrowing JSONDocument, _ node: Int
  ) throws(IgnoreReason) {
    if let use = try optionalText(document, node, ByteView("use")), use != ByteView("sig") {
      throw .otherUse
    }
    guard let operations = document.member(of: node, named: ByteView("key_ops")) else { return }
    guard document.kind(of: operations) == .array else { throw .malformed }
    var operation = operations + 1
    while operation < document.end(of: operations) {
      if document.kind(of: operation) == .string,
        document.text(of: operation) == ByteView("verify")
      {
        return
      }
      operation = document.end(of: operation)
    }
    throw .otherUse
  }

  private static func algorithm(
    _ document: borrowing JSONDocument, _ node: Int, _ material: KeyMaterial
  ) throws(IgnoreReason) -> SignatureAlgorithm? {
    guard let name = try optionalText(document, node, ByteView("alg")) else { return nil }
    guard let algorithm = SignatureAlgorithm(name: name), material.fits(algorithm) else {
      throw .unsupportedAlgorithm
    }
    return algorithm
  }

  private static func material(
    _ document: borrowing JSONDocument, _ node: Int
  ) throws(IgnoreReason) -> KeyMaterial {
    guard let kind = try optionalText(document, node, ByteView("kty")) else { throw .malformed }
    if kind == ByteView("RSA") {
      return .rsa(
        modulus: try bytes(document, node, ByteView("n")),
        exponent: try bytes(document, node, ByteView("e")))
    }
    if kind == ByteView("EC") {
      guard let curve = try curve(document, node) else { throw .unsupportedKind }
      return .elliptic(
        curve, x: try bytes(document, node, ByteView("x")),
        y: try bytes(document, node, ByteView("y")))
    }
    if kind == ByteView("OKP") {
      guard try optionalText(document, node, ByteView("crv")) == ByteView("Ed25519") else {
        throw .unsupportedKind
      }
      return .ed25519(try bytes(document, node, ByteView("x")))
    }
    guard kind == ByteView("oct") else { throw .unsupportedKind }
    return .secret(try bytes(document, node, ByteView("k")))
  }

  private static func curve(
    _ document: borrowing JSONDocument, _ node: Int
  ) throws(IgnoreReason) -> EllipticCurve? {
    guard let name = try optionalText(document, node, ByteView("crv")) else { throw .malformed }
    if name == ByteView("P-256") { return .p256 }
    if name == ByteView("P-384") { return .p384 }
    return name == ByteView("P-521") ? .p521 : nil
  }

  private static func optionalText(
    _ document: borrowing JSONDocument, _ node: Int, _ name: ByteView
  ) throws(IgnoreReason) -> ByteView? {
    guard document.kind(of: node) == .object else { throw .malformed }
    guard let member = document.member(of: node, named: name) else { return nil }
    guard document.kind(of: member) == .string else { throw .malformed }
    return document.text(of: member)
  }

  private static func bytes(
    _ document: borrowing JSONDocument, _ node: Int, _ name: ByteView
  ) throws(IgnoreReason) -> [UInt8] {
    guard let text = try optionalText(document, node, name), !text.isEmpty,
      let bytes = Base64URL.decode(text)
    else { throw .malformed }
    return bytes
  }
}
