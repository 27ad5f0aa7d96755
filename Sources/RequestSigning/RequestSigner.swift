// AWS Signature Version 4: what the object stores of this world ask of a request before they show anything
// that is not for everybody.
//
//   canonical request   method, path, query, fields, their names, hash of the content; a line each
//   string to sign      AWS4-HMAC-SHA256, time, scope (20260101/eu-central-1/s3/aws4_request), its hash
//   signing key         HMAC of HMAC of …: secret, day, region, service, "aws4_request"
//   Authorization       the key's name, the scope, the fields' names, HMAC(signing key, string to sign)
//
// A whole head goes in and a whole head comes out, so that what is signed is what is sent. Of the content
// nothing is known when the head goes out: where there is none its hash is that of nothing, else the service
// is told that it is not signed (TLS protects it).
//
// What costs is the signing key: four HMACs with a key each. It is good for a day and kept so long.
//
// A signature says when it was made, and is good for some minutes: each try has its own.

package import Bytes
package import Cryptography
internal import HTTPMessage

/// What is said of a request's content.
package enum SignedContent: Sendable, Equatable {
  /// There is none.
  case none
  /// There is some, and nobody knows it yet.
  case unsigned
  /// Its SHA-256, in lower-case hexadecimal.
  case hash(String)
}

/// Signs requests to one service in one region. Belongs to one thread.
package final class RequestSigner {
  /// The region.
  package let region: String
  /// The service.
  package let service: String
  /// Whether queries are left out.
  package let dropsQuery: Bool
  private let signsAllFields: Bool
  private let digest: DigestContext
  /// What signs for `keyOwner` on `keyDay`.
  private var key: KeyedHMAC
  private var keyDay = Int64.min
  private var keyOwner: SigningCredentials?

  /// SHA-256 of nothing.
  private static let emptyHash: StaticString =
    "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"

  /// - Parameters:
  ///   - dropsQuery: whether what clients say in queries goes no further.
  ///   - signsAllFields: whether all fields are signed, and not only those that mean something to the
  ///     service; proxies on the way may change others.
  package init(
    region: String, service: String, dropsQuery: Bool = false, signsAllFields: Bool = false
  ) throws(OpenSSLError) {
    self.region = region
    self.service = service
    self.dropsQuery = dropsQuery
    self.signsAllFields = signsAllFields
    digest = try DigestContext.make(.sha256)
    // No day and nobody yet.
    key = try KeyedHMAC.make(.sha256, key: [0])
  }

  /// Whether the service is one that has objects: it encodes paths once, and wants to be told the hash of
  /// what has no content, too.
  private var isObjectStore: Bool { service == "s3" || service.hasPrefix("s3-") }

  /// Appends a request's head to `output`, signed. Its own `Authorization` and what else speaks of a
  /// signature are left out.
  ///
  /// - Parameters:
  ///   - head: the whole head, its empty line included; not of `output`.
  ///   - time: milliseconds since the epoch.
  package func sign(
    _ head: ByteView, content: SignedContent, at time: Int64, for credentials: SigningCredentials,
    to output: inout ByteBuffer
  ) throws(OpenSSLError) {
    let date = SigningDate(milliseconds: time)
    var request = SignedHead(head)
    request.removeSignature(in: head)
    request.append("x-amz-date", date.time)
    switch content {
    case .none:
      if isObjectStore { request.append("x-amz-content-sha256", "\(Self.emptyHash)") }
    case .unsigned: request.append("x-amz-content-sha256", "UNSIGNED-PAYLOAD")
    case .hash(let hash):
      if isObjectStore { request.append("x-amz-content-sha256", hash) }
    }
    if let token = credentials.sessionToken { request.append("x-amz-security-token", token) }
    let target = CanonicalTarget(
      head[request.target], isPathEncodedOnce: isObjectStore, dropsQuery: dropsQuery)
    let fields = request.canonicalFields(head, all: signsAllFields)

    var text = ByteBuffer(capacity: 1024)
    text.append(head[request.method])
    text.append("\n")
    text.append(target.signedPath.view)
    text.append("\n")
    text.append(target.signedQuery.view)
    text.append("\n")
    for field in fields {
      field.name.withView { text.append($0) }
      text.append(":")
      field.value.withView { text.append($0) }
      text.append("\n")
    }
    text.append("\n")
    Self.appendNames(fields, to: &text)
    text.append("\n")
    switch content {
    case .none: text.append(Self.emptyHash)
    case .unsigned: text.append("UNSIGNED-PAYLOAD")
    case .hash(let hash): text.append(text: hash)
    }
    let signature = try signature(of: text.view, date, for: credentials)

    request.appendLine(head, target, to: &output)
    request.appendFields(head, to: &output)
    output.append("authorization: AWS4-HMAC-SHA256 Credential=")
    output.append(text: credentials.accessKey)
    output.append("/")
    appendScope(date, to: &output)
    output.append(", SignedHeaders=")
    Self.appendNames(fields, to: &output)
    output.append(", Signature=")
    Self.append(signature, to: &output)
    output.append("\r\n\r\n")
  }

  private func signature(
    of canonical: ByteView, _ date: SigningDate, for credentials: SigningCredentials
  ) throws(OpenSSLError) -> Digest256 {
    var text = ByteBuffer(capacity: 256)
    text.append("AWS4-HMAC-SHA256\n")
    text.append(text: date.time)
    text.append("\n")
    appendScope(date, to: &text)
    text.append("\n")
    Self.append(try digest.digest256(canonical), to: &text)
    if keyDay != date.day || keyOwner != credentials {
      key = try makeKey(date, credentials)
      keyDay = date.day
      keyOwner = credentials
    }
    return try key.code256(text.view)
  }

  private func makeKey(
    _ date: SigningDate, _ credentials: SigningCredentials
  ) throws(OpenSSLError) -> KeyedHMAC {
    var key = Array("AWS4\(credentials.secretKey)".utf8)
    for part in [date.date, region, service, "aws4_request"] {
      var text = ByteBuffer(capacity: 64)
      text.append(text: part)
      key = try KeyedHMAC.make(.sha256, key: key).code256(text.view).array
    }
    return try KeyedHMAC.make(.sha256, key: key)
  }

  private func appendScope(_ date: SigningDate, to buffer: inout ByteBuffer) {
    buffer.append(text: "\(date.date)/\(region)/\(service)/aws4_request")
  }

  private static func append(_ digest: Digest256, to buffer: inout ByteBuffer) {
    for byte in digest.array { buffer.append(allHexadecimal: byte) }
  }

  private static func appendNames(_ fields: [CanonicalField], to buffer: inout ByteBuffer) {
    for (index, field) in fields.enumerated() {
      if index > 0 { buffer.append(";") }
      field.name.withView { buffer.append($0) }
    }
  }
}

/// A time as signatures say it (ISO 8601, basic format).
struct SigningDate {
  /// Days since the epoch.
  let day: Int64
  /// As `20260101`.
  let date: String
  /// As `20260101T120000Z`.
  let time: String

  init(milliseconds: Int64) {
    let seconds = max(0, milliseconds) / 1000
    day = seconds / 86_400
    let civil = CivilDate(daysSinceEpoch: day)
    let rest = seconds % 86_400
    let parts = [rest / 3600, rest / 60 % 60, rest % 60].map { CivilDate.padded($0, 2) }
    date =
      CivilDate.padded(civil.year, 4) + CivilDate.padded(civil.month, 2)
      + CivilDate.padded(civil.day, 2)
    time = "\(date)T\(parts.joined())Z"
  }
}
