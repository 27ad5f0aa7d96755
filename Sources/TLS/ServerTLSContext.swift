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
  /// For all names below, however deep: what begins with a dot.
  private let below: [String: Int]
  private let refusesUnknownNames: Bool
  private let protocols: [ApplicationProtocol]
  let tickets: TicketKeyRing
  let readsEarlyData: Bool
  let usesKernelTLS: Bool
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
    readsEarlyData = configuration.maxEarlyData > 0
    usesKernelTLS = configuration.usesKernelTLS

    var plan = CertificatePlan(certificates)
    let verifications = plan.split(
      by: configuration.verifications, others: configuration.clientVerification)
    var made: [CertificateSet] = []
    for (members, verification) in zip(plan.sets, verifications) {
      made.append(
        try CertificateSet(
          members.map { certificates[$0] },
          files: members.map { configuration.certificates[$0] }, verification, configuration))
    }
    sets = made
    below = plan.below
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
    if let index = wildcards[String(name[dot...])] { return sets[index] }
    guard !below.isEmpty else { return nil }
    return CertificatePlan.suffixes(of: name).lazy.compactMap { self.below[$0] }.first.map {
      sets[$0]
    }
  }

  /// Moves a connection to the set of a name before its handshake goes on. False: there is no memory.
  func move(_ ssl: OpaquePointer, to name: String) -> Bool {
    guard let set = set(named: name) else { return true }
    return unsafe move(ssl, to: set)
  }

  private func move(_ ssl: OpaquePointer, to set: CertificateSet) -> Bool {
    guard unsafe SSL_set_SSL_CTX(ssl, set.handle) != nil else { return false }
    unsafe set.ask(ssl)
    return true
  }

  /// Moves a connection to the certificates of the name that its client asks for.
  func choose(_ ssl: OpaquePointer, alert: UnsafeMutablePointer<Int32>?) -> Int32 {
    guard let text = unsafe SSL_get_servername(ssl, TLSEXT_NAMETYPE_host_name) else {
      return SSL_TLSEXT_ERR_NOACK
    }
    let name = unsafe String(cString: text)
    guard let set = set(named: name) else {
      guard refusesUnknownNames else { return SSL_TLSEXT_ERR_NOACK }
      unsafe alert?.pointee = SSL_AD_UNRECOGNIZED_NAME
      return SSL_TLSEXT_ERR_ALERT_FATAL
    }
    return unsafe move(ssl, to: set) ? SSL_TLSEXT_ERR_OK : SSL_TLSEXT_ERR_ALERT_FATAL
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
  /// Names below which something else is asked of clients, by what follows the star.
  private(set) var below: [String: Int] = [:]

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

  /// Gives names of which something else is asked sets of their own; what each set asks, in their order.
  mutating func split(
    by verifications: [String: ClientVerification], others: ClientVerification
  ) -> [ClientVerification] {
    var asked = sets.map { _ in others }
    func question(_ name: String) -> ClientVerification {
      verifications[name]
        ?? Self.suffixes(of: name).lazy.compactMap { verifications["*" + $0] }.first ?? others
    }
    var made: [Int: [(ClientVerification, Int)]] = [:]
    func place(_ set: Int, _ question: ClientVerification) -> Int {
      if question == others { return set }
      if let known = made[set]?.first(where: { $0.0 == question }) { return known.1 }
      sets.append(sets[set])
      asked.append(question)
      made[set, default: []].append((question, sets.count - 1))
      return sets.count - 1
    }
    // From what is known of certificates alone.
    let (names, stars) = (exact, wildcards)
    func set(showing name: String) -> Int {
      names[name] ?? Self.suffixes(of: name).first.flatMap { stars[$0] } ?? 0
    }
    for (name, set) in names { exact[name] = place(set, question(name)) }
    for (suffix, set) in stars { wildcards[suffix] = place(set, question("*" + suffix)) }
    for (name, asks) in verifications {
      if name.hasPrefix("*.") {
        let suffix = String(name.dropFirst())
        below[suffix] = place(stars[suffix] ?? 0, asks)
      } else {
        exact[name] = place(set(showing: name), asks)
      }
    }
    return asked
  }

  /// What follows each dot of a name, the dot with it, the longest first.
  static func suffixes(of name: String) -> [String] {
    name.indices.filter { name[$0] == "." }.map { String(name[$0...]) }
  }
}
