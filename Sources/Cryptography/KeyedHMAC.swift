package import Bytes
internal import COpenSSL

/// HMAC (RFC 2104) with one key, for one text after the other.
@safe
package struct KeyedHMAC: ~Copyable {
  /// The hash function under it.
  package let function: HashFunction
  private let context: OpaquePointer

  private init(_ function: HashFunction, _ context: OpaquePointer) {
    self.function = function
    unsafe self.context = context
  }

  deinit { unsafe EVP_MAC_CTX_free(context) }

  /// A context that holds the key, which must not be empty.
  package static func make(
    _ function: HashFunction, key: ByteView
  ) throws(OpenSSLError) -> KeyedHMAC {
    guard !key.isEmpty else { throw OpenSSLError(code: 0) }
    ErrorQueue.clear()
    let mac = unsafe try made(EVP_MAC_fetch(nil, "HMAC", nil))
    // The context keeps the algorithm alive.
    defer { unsafe EVP_MAC_free(mac) }
    let context = unsafe try made(EVP_MAC_CTX_new(mac))
    let result = unsafe KeyedHMAC(function, context)
    try result.setKey(key)
    return result
  }

  /// A context that holds the key, which must not be empty.
  package static func make(
    _ function: HashFunction, key: [UInt8]
  ) throws(OpenSSLError) -> KeyedHMAC {
    var buffer = ByteBuffer(capacity: key.count)
    for byte in key { buffer.append(byte) }
    return try make(function, key: buffer.view)
  }

  private func setKey(_ key: ByteView) throws(OpenSSLError) {
    var name = Array(function.name.utf8CString)
    let result = unsafe name.withUnsafeMutableBufferPointer { name in
      var parameters = unsafe [
        OSSL_PARAM_construct_utf8_string("digest", name.baseAddress, 0), OSSL_PARAM_construct_end(),
      ]
      // Safe: OpenSSL copies the key and reads the name during the call only.
      return unsafe EVP_MAC_init(
        context, key.baseAddress.assumingMemoryBound(to: UInt8.self), key.count, &parameters)
    }
    try check(result)
  }

  /// Begins a text.
  package func begin() throws(OpenSSLError) { try unsafe check(EVP_MAC_init(context, nil, 0, nil)) }

  /// Adds bytes to the text.
  package func add(_ bytes: ByteView) throws(OpenSSLError) {
    guard !bytes.isEmpty else { return }
    // Safe: the view covers `count` readable bytes.
    try unsafe check(
      EVP_MAC_update(context, bytes.baseAddress.assumingMemoryBound(to: UInt8.self), bytes.count))
  }

  /// Ends the text and writes its code, `function.length` bytes, to `output`.
  private func finish(to output: UnsafeMutableRawBufferPointer) throws(OpenSSLError) {
    var length = 0
    try unsafe check(
      EVP_MAC_final(
        context, output.baseAddress?.assumingMemoryBound(to: UInt8.self), &length, output.count))
  }

  /// Ends the text; its HMAC-SHA256 code. The context must be one of SHA-256.
  package func finish256() throws(OpenSSLError) -> Digest256 {
    precondition(function == .sha256, "a context of another hash function")
    var output: (UInt64, UInt64, UInt64, UInt64) = (0, 0, 0, 0)
    try unsafe withUnsafeMutableBytes(of: &output) { (buffer) throws(OpenSSLError) in
      try unsafe finish(to: buffer)
    }
    return Digest256(words: output)
  }

  /// The HMAC-SHA256 code of a text.
  package func code256(_ bytes: ByteView) throws(OpenSSLError) -> Digest256 {
    try begin()
    try add(bytes)
    return try finish256()
  }

  /// The code of a text.
  package func code(_ bytes: ByteView) throws(OpenSSLError) -> [UInt8] {
    try begin()
    try add(bytes)
    var output = ByteBuffer(capacity: function.length)
    try unsafe output.appendUninitialized(atLeast: function.length) {
      (buffer) throws(OpenSSLError) in
      try unsafe finish(to: UnsafeMutableRawBufferPointer(rebasing: buffer.prefix(function.length)))
      return function.length
    }
    return output.view.array
  }

  /// Whether `code` is the whole code of a text, compared in constant time.
  package func verifies(_ bytes: ByteView, code: ByteView) -> Bool {
    guard code.count == function.length else { return false }
    var output: InlineArray<64, UInt8> = .init(repeating: 0)
    var same = false
    do throws(OpenSSLError) {
      try begin()
      try add(bytes)
      try unsafe withUnsafeMutableBytes(of: &output) { (buffer) throws(OpenSSLError) -> Void in
        let buffer = unsafe UnsafeMutableRawBufferPointer(rebasing: buffer.prefix(function.length))
        try unsafe finish(to: buffer)
        same = ConstantTime.equal(unsafe ByteView(unsafe: UnsafeRawBufferPointer(buffer)), code)
      }
    } catch {
      return false
    }
    return same
  }
}
