// Connecting to one of several addresses (RFC 8305 §5): the next attempt begins when the one before has
// failed, or has not succeeded within 250 ms; the first that succeeds is kept and the others are dropped.
// The plan says what to do and when; whoever owns the sockets does it.
//
//     while true {
//       switch plan.next(now: now) {
//       case .connect(let address, let number): …begin; on failure plan.failed(number, now: now)
//       case .wait(let time): …come back at that time, or when an attempt ends
//       case .exhausted: …no address is left
//       }
//     }

package import EventLoop

/// See the top of this file.
package struct ConnectPlan: Sendable {
  /// What to do now.
  package enum Step: Sendable, Equatable {
    /// Begin the attempt of that number.
    case connect(SocketAddress, number: Int)
    /// Nothing before that time (`Int64.max`: nothing more at all) unless an attempt ends.
    case wait(until: Int64)
    /// All attempts have failed.
    case exhausted
  }

  private let addresses: AddressList
  private var begun = 0
  private var underWay: UInt16 = 0
  private var nextStart = Int64.min

  /// The Connection Attempt Delay of RFC 8305 §5: 250 ms.
  package static var delay: Int64 { 250_000_000 }

  /// A plan for addresses, in the order in which they are tried.
  package init(_ addresses: AddressList) { self.addresses = addresses }

  /// Whether there are addresses that have not been tried.
  package var hasMore: Bool { begun < addresses.count }

  /// How many attempts are under way.
  package var attempts: Int { underWay.nonzeroBitCount }

  /// What to do now.
  package mutating func next(now: Int64) -> Step {
    if begun < addresses.count, underWay == 0 || now >= nextStart {
      let number = begun
      begun += 1
      underWay |= 1 &<< UInt16(number)
      nextStart = now &+ Self.delay
      return .connect(addresses[number], number: number)
    }
    if underWay == 0 { return .exhausted }
    return .wait(until: begun < addresses.count ? nextStart : Int64.max)
  }

  /// The attempt of that number has failed: the next one may begin at once.
  package mutating func failed(_ number: Int, now: Int64) {
    guard number >= 0, number < begun else { return }
    underWay &= ~(1 &<< UInt16(number))
    nextStart = now
  }

  /// The address of an attempt that has begun.
  package func address(of number: Int) -> SocketAddress? {
    number >= 0 && number < begun ? addresses[number] : nil
  }
}
