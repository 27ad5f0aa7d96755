// What all connections of a listener share: made from files as a whole, then never changed. A reload makes
// a new one; connections keep the one they began with. So the workers read it without a lock.
//
//   names ──► set of certificates (one SSL_CTX) : RSA, ECDSA, … of the same name
//
// A name's certificates of different kinds go into one SSL_CTX, where OpenSSL chooses among them by what
// the client can verify. Two names with the same certificates share a set. The hello's server name picks
// the set: the exact name, then the wildcard one label up (RFC 6125 §6.4.3), then the first certificate.
//
// OpenSSL takes certificates from the SSL_CTX a connection is moved to, but versions, options and tickets
// from the one it began with; so all sets are configured alike, and every connection begins with the first.

internal import COpenSSL
internal import EventLoop
internal import Synchronization

/// A listener's TLS: certificates, versions, ticket keys. Shared by all workers.
@safe
package final class ServerTLSContext: @unchecked Sendable {
  // Sendable: nothing changes after init; OpenSSL counts references to an SSL_CTX atomically.
  let sets: [CertificateSet]
  private let exact: [String: Int]
  private let wildcards: [String: Int]
  private let refusesUnknownNames: Bool
  private let protocols: [ApplicationProtocol]
  let tickets: TicketKeyRing
  let keepsClientHello: Bool
  let readsEarlyData: Bool
  /// What is not as it should be and stops nothing: staples past their time.
  package let notices: [String]
  /// When the first of the certificates ends, in seconds since 1970.
  package let notAfter: Int64

  /// Reads all files and checks all settings; `now` is in seconds since 1970. Takes a few milliseconds
  /// for each certificate: not on a worker.
  package init(
    _ configuration: ServerTLSConfiguration, tickets: TicketKeyRing, now: Int64
  ) throws(TLSLoadError) {
    guard !configuration.certificates.isEmpty else {
      throw TLSLoadError("certificate", .badSetting("there must be at least one"))
    }
    guard (0...8).contains(configuration.ticketCount) else {
      throw TLSLoadError("tickets", .badSetting("must be 0 to 8"))
    }
    guard (1...604_800).contains(configuration.sessionLifetime) else {
      throw TLSLoadError("session lifetime", .badSetting("must be 1 second to 7 days"))
    }
    var certificates: [Certificate] = []
    for files in configuration.certificates {
      certificates.append(try Certificate(files, now: now))
    }
    notices = zip(configuration.certificates, certificates).compactMap { files, certificate in
      certificate.hasOldStaple ? "\(files.staple ?? ""): the OCSP response is past its time" : nil
    }
    notAfter = certificates.map(\.notAfter).min() ?? now
    self.tickets = tickets
    refusesUnknownNames = configuration.refusesUnknownNames
    protocols = configuration.applicationProtocols
    keepsClientHello = configuration.keepsClientHello
    readsEarlyData = configuration.maxEarlyData > 0

    let plan = CertificatePlan(certificates)
    var made: [CertificateSet] = []
    for members in plan.sets {
      made.append(
        try CertificateSet(
          members.map { certificates[$0] },
          files: members.map { configuration.certificates[$0] }, configuration))
    }
    sets = made
    exact = plan.exact
    wildcards = plan.wildcards
    // The callbacks find their way back here; the sets do not outlive the context, see `deinit`.
    for set in sets { unsafe set.attach(Unmanaged.passUnretained(self).toOpaque()) }
  }

  deinit {
    // A connection holds the context strongly for as long as it lives, so no callback comes after this.
    for set in sets { unsafe set.attach(nil) }
  }

  /// The SSL_CTX that connections begin with.
  var first: OpaquePointer { unsafe sets[0].handle }

  /// The set for a server name; nil if no certificate has it.
  func set(named name: String) -> CertificateSet? {
    let name = (name.hasSuffix(".") ? String(name.dropLast()) : name).lowercased()
    if let index = exact[name] { return sets[index] }
    guard let dot = name.firstIndex(of: ".") else { return nil }
    return wildcards[String(name[dot...])].map { sets[$0] }
  }

  /// Moves a connection to the certificates of the name that its client asks for.
  func choose(_ ssl: OpaquePointer, alert: UnsafeMutablePointer<Int32>?) -> Int32 {
    guard let text = unsafe SSL_get_servername(ssl, TLSEXT_NAMETYPE_host_name) else {
      return SSL_TLSEXT_ERR_NOACK
    }
    guard let set = unsafe set(named: String(cString: text)) else {
      guard refusesUnknownNames else { return SSL_TLSEXT_ERR_NOACK }
      unsafe alert?.pointee = SSL_AD_UNRECOGNIZED_NAME
      return SSL_TLSEXT_ERR_ALERT_FATAL
    }
    guard unsafe SSL_set_SSL_CTX(ssl, set.handle) != nil else { return SSL_TLSEXT_ERR_ALERT_FATAL }
    return SSL_TLSEXT_ERR_OK
  }

  /// The protocol to speak out of a client's list (RFC 7301 §3.1), in the order of our preference. Who
  /// speaks HTTP/1.1 answers clients of HTTP/1.0, too.
  func choose(among offered: UnsafeBufferPointer<UInt8>) -> Range<Int>? {
    for wanted in protocols {
      if let range = unsafe find(wanted.name, in: offered) { return range }
    }
    guard protocols.contains(.http1) else { return nil }
    return unsafe find("http/1.0", in: offered)
  }

  private func find(
    _ wanted: StaticString, in offered: UnsafeBufferPointer<UInt8>
  ) -> Range<Int>? {
    let literal = unsafe UnsafeBufferPointer(
      start: wanted.utf8Start, count: wanted.utf8CodeUnitCount)
    var at = 0
    while at < offered.count {
      let length = unsafe Int(offered[at])
      guard length <= offered.count - at - 1 else { break }
      let range = at + 1..<at + 1 + length
      // The list is OpenSSL's, `offered.count` bytes; the range lies within it, as just checked.
      let name = unsafe UnsafeBufferPointer(rebasing: offered[range])
      if unsafe name.elementsEqual(literal) { return range }
      at = range.upperBound
    }
    return nil
  }
}

/// Which certificates go together, and which names lead to them.
struct CertificatePlan {
  private(set) var sets: [[Int]] = []
  private(set) var exact: [String: Int] = [:]
  /// By what follows the star: `.a.example`.
  private(set) var wildcards: [String: Int] = [:]

  init(_ certificates: [Certificate]) {
    var members: [String: [Int]] = [:]
    for (index, certificate) in certificates.enumerated() {
      for name in certificate.names {
        // Of two with the same name and kind of key the first is used.
        let isNew = !(members[name] ?? []).contains {
          certificates[$0].keyType == certificate.keyType
        }
        if isNew { members[name, default: []].append(index) }
      }
    }
    // The first set is for clients without a name: the first certificate and its companions.
    var numbers: [[Int]: Int] = [:]
    let first = certificates.first?.names.first.flatMap { members[$0] } ?? [0]
    sets = [first.contains(0) ? first : [0]]
    numbers[sets[0]] = 0
    for (name, indices) in members {
      let number = numbers[indices] ?? sets.count
      if number == sets.count {
        numbers[indices] = number
        sets.append(indices)
      }
      if name.hasPrefix("*.") {
        wildcards[String(name.dropFirst())] = number
      } else {
        exact[name] = number
      }
    }
  }
}
