// SHA-2 and HMAC through EVP. What costs in OpenSSL 3 is to look an algorithm up and to make a context
// (up to a microsecond); to run a context again costs nothing. So a context is made once, by whoever
// hashes often, and used for one call after the other: each belongs to one thread at a time.

package import Bytes
internal import COpenSSL

/// A hash function of the SHA-2 family (FIPS 180-4).
package enum HashFunction: UInt8, CaseIterable, Sendable {
  /// SHA-256
  case sha256
  /// SHA-384
  case sha384
  /// SHA-512
  case sha512

  /// Bytes of a digest.
  package var length: Int {
    switch self {
    case .sha256: 32
    case .sha384: 48
    case .sha512: 64
    }
  }

  /// OpenSSL's name for it.
  var name: String {
    switch self {
    case .sha256: "SHA256"
    case .sha384: "SHA384"
    case .sha512: "SHA512"
    }
  }
}

/// 256 bits: a SHA-256 digest or an HMAC-SHA256 code.
package struct Digest256: Sendable, Hashable {
  private var words: (UInt64, UInt64, UInt64, UInt64) = (0, 0, 0, 0)

  /// All zero.
  package init() {}

  /// The digest that a view of 32 bytes is; nil if it has another length.
  package init?(_ bytes: ByteView) {
    guard bytes.count == 32 else { return nil }
    words = (
      bytes.uint64(at: 0), bytes.uint64(at: 8), bytes.uint64(at: 16), bytes.uint64(at: 24)
    )
  }

  /// Whether both are the same, in a time that does not depend on where they differ.
  package static func == (left: Digest256, right: Digest256) -> Bool {
    let first = (left.words.0 ^ right.words.0) | (left.words.1 ^ right.words.1)
    let second = (left.words.2 ^ right.words.2) | (left.words.3 ^ right.words.3)
    return first | second == 0
  }

  /// Half of the digest as a key for a table: good where the digest itself is keyed or unpredictable.
  package var tableKey: Hash128 { Hash128(low: words.0, high: words.1) }

  /// Combines the digest into a hasher.
  package func hash(into hasher: inout Hasher) {
    hasher.combine(words.0)
    hasher.combine(words.1)
  }

  /// Calls `body` with the 32 bytes.
  package func withView<Result>(_ body: (ByteView) -> Result) -> Result {
    var littleEndian = (
      words.0.littleEndian, words.1.littleEndian, words.2.littleEndian, words.3.littleEndian
    )
    return unsafe withUnsafeBytes(of: &littleEndian) { body(unsafe ByteView(unsafe: $0)) }
  }

  /// The 32 bytes, copied.
  package var array: [UInt8] { withView { $0.array } }
}

/// Hashes one text after the other.
@safe
package struct DigestContext: ~Copyable {
  /// The hash function.
  package let function: HashFunction
  private let context: OpaquePointer
  /// The algorithm, for calls that take one.
  let handle: OpaquePointer

  private init(_ function: HashFunction, _ context: OpaquePointer, _ algorithm: OpaquePointer) {
    self.function = function
    unsafe self.context = context
    unsafe handle = algorithm
  }

  deinit {
    unsafe EVP_MD_CTX_free(context)
    unsafe EVP_MD_free(handle)
  }

  /// A context for a hash function.
  package static func make(_ function: HashFunction) throws(OpenSSLError) -> DigestContext {
    ErrorQueue.clear()
    let algorithm = unsafe try made(EVP_MD_fetch(nil, function.name, nil))
    guard let context = unsafe EVP_MD_CTX_new() else {
      unsafe EVP_MD_free(algorithm)
      throw ErrorQueue.drain()
    }
    return unsafe DigestContext(function, context, algorithm)
  }

  /// Writes the digest of `bytes` to `output`, which has room for `function.length` bytes.
  func hash(_ bytes: ByteView, to output: UnsafeMutablePointer<UInt8>) throws(OpenSSLError) {
    // Safe: the view covers `count` readable bytes, and the function writes its length.
    try unsafe check(EVP_DigestInit_ex2(context, handle, nil))
    try unsafe check(EVP_DigestUpdate(context, bytes.baseAddress, bytes.count))
    try unsafe check(EVP_DigestFinal_ex(context, output, nil))
  }

  /// The SHA-256 digest of `bytes`; the context must be one of SHA-256.
  package func digest256(_ bytes: ByteView) throws(OpenSSLError) -> Digest256 {
    precondition(function == .sha256, "a context of another hash function")
    var output: (UInt64, UInt64, UInt64, UInt64) = (0, 0, 0, 0)
    try unsafe withUnsafeMutableBytes(of: &output) { (buffer) throws(OpenSSLError) in
      guard let start = buffer.baseAddress else { return }
      try unsafe hash(bytes, to: start.assumingMemoryBound(to: UInt8.self))
    }
    return Digest256(words: output)
  }
}

extension Digest256 {
  /// The digest whose bytes lie in memory as these words do.
  init(words: (UInt64, UInt64, UInt64, UInt64)) {
    self.words = (
      UInt64(littleEndian: words.0), UInt64(littleEndian: words.1), UInt64(littleEndian: words.2),
      UInt64(littleEndian: words.3)
    )
  }
}
