// From where may be asked, as a worker knows it: lists that stand in the configuration, and lists of files,
// which may change under it.

internal import Authentication
internal import Configuration
internal import Rules

/// A list of addresses and networks.
final class ClientList {
  private let source: Published<AddressSet>?
  private var generation: UInt64 = 0
  private var addresses: AddressSet

  /// A list as it is configured; one of a file goes on with what `lists` has of it.
  init(_ list: AccessList, _ lists: [String: Published<AddressSet>]) {
    addresses = list.addresses
    source = list.file.flatMap { lists[$0] }
  }

  func contains(_ address: IPAddress) -> Bool {
    if let source, source.generation != generation { (addresses, generation) = source.current }
    return addresses.contains(address)
  }
}

/// From where a route may be asked.
struct RouteAccess {
  private let allowed: [ClientList]
  private let denied: [ClientList]

  init(_ access: AccessConfiguration, _ lists: [String: Published<AddressSet>]) {
    allowed = access.allowed.map { ClientList($0, lists) }
    denied = access.denied.map { ClientList($0, lists) }
  }

  /// Whether a client of an address may ask. What is denied is denied; where anything is allowed, the rest
  /// is not.
  func allows(_ address: IPAddress) -> Bool {
    if denied.contains(where: { $0.contains(address) }) { return false }
    return allowed.isEmpty || allowed.contains { $0.contains(address) }
  }
}
