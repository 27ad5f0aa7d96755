// The compiled form of a route's rules: a flat list of instructions of 12 bytes over a file of registers
// of 16 bytes each, and the constants that they name by number.
//
// Jumps lead forward only, so that a program ends after at most as many steps as it has instructions;
// the initialiser of RuleProgram checks that, and that every number an instruction carries is in its
// table, so that running it needs no checks.
//
//     register 0 ..< 64     variables
//             64 ..< 112    data that is found once and kept (cookies, parameters)
//            112 ..< 250    values of the expression at hand

internal import Bytes
internal import RegularExpressions

/// What an instruction does; `to`, `left` and `right` are registers.
enum Opcode: UInt8, Sendable, Equatable {
  case end
  // Constants.
  case loadText, loadInteger, loadAddress
  // The request's data.
  case text, number, flag, clientAddress, field, responseField, cookie, parameter, claim
  case move
  // Comparisons.
  case equalTexts, equalConstant, equalNumbers, equalAddresses, less, lessOrEqual
  case inTexts, inNumbers, inNetworks, inParts, matchesGlob, matchesPattern, not
  // Functions.
  case exists, lower, upper, trim, length, startsWith, endsWith, contains
  case part, partCount, replace, replacePrefix, capture
  case urlDecode, urlEncode, base64Decode, negotiate, hash, percent
  case toInteger, toAddress, mask, seconds, lookup
  // Of stored objects.
  case hasTag
  // Texts with values in them.
  case beginText, appendConstant, appendText, endText, integerToText, addressToText, booleanToText
  // Ways.
  case jump, jumpUnless, jumpIf
  // Actions.
  case answerField, respond, redirect, rewritePath, rewriteQuery
  case setField, unsetField, addField, origin, limit, limitWithCost
  case cacheBypass, cacheTTL, cacheKey, varyBy, tag, log
}

struct Instruction: Sendable, Equatable {
  var opcode: Opcode
  var to: UInt8 = 0
  var left: UInt8 = 0
  var right: UInt8 = 0
  var operand: Int32 = 0
  var extra: Int32 = 0
}

/// Where registers of a kind begin.
enum Registers {
  static let kept = 64
  static let values = 112
  static let end = 250
  static let count = 256
}

/// A name of the configuration and where it stands.
package struct RuleName: Sendable, Equatable {
  /// The name.
  package var name: String
  /// Where it was first used.
  package var range: RuleRange
}

/// The compiled rules of a route: an immutable value, from which each worker makes its own RuleProgram.
package struct RuleCode: Sendable, Equatable {
  var instructions: [Instruction] = []
  /// Where what happens to the response begins.
  var responseStart = 0
  /// The constant texts, one after the other.
  var bytes: [UInt8] = []
  var texts: [Range<Int>] = []
  var integers: [Int64] = []
  var addresses: [IPAddress] = []
  var fields: [FieldUse] = []
  var textSets: [Range<Int>] = []
  /// Numbers of texts; each set is sorted by the length, then the bytes of its texts.
  var members: [Int] = []
  var numberSets: [[Int64]] = []
  var addressSets: [AddressSet] = []
  var patterns: [Pattern] = []
  var hashes: [UInt64] = []
  /// The files of keys and values.
  package internal(set) var maps: [RuleMap] = []
  var steps: [RuleStep] = []
  /// The tags that a condition over stored objects asks for, in the order of `RuleObject.hasTag`.
  package internal(set) var tags: [[UInt8]] = []
  /// Variables that rules for the response read: register and type.
  var carried: [Carried] = []

  /// The origins that rules choose, in the order of `RuleScratch.origin`.
  package internal(set) var origins: [RuleName] = []
  /// The limits that rules apply, in the order of `RuleScratch.limits`.
  package internal(set) var limits: [RuleName] = []
  /// Where data from a geographic database was first used.
  package internal(set) var usesGeo: RuleRange?
  /// Whether the fingerprints of clients are used.
  package internal(set) var usesFingerprint = false
  /// Whether there are rules for the response.
  package var hasResponseRules: Bool { responseStart + 1 < instructions.count }

  /// How large it is, in a few words.
  package var summary: String {
    let conditions = steps.count { $0.kind == .condition }
    let actions = steps.count { step in if case .action = step.kind { true } else { false } }
    return "\(conditions) conditions, \(actions) actions, \(instructions.count) steps"
  }

  /// Equal when they do the same; positions in the text and notes for explanations do not count.
  package static func == (left: RuleCode, right: RuleCode) -> Bool {
    left.instructions == right.instructions && left.bytes == right.bytes
      && left.texts == right.texts && left.integers == right.integers
      && left.addresses == right.addresses && left.fields == right.fields
      && left.textSets == right.textSets && left.members == right.members
      && left.numberSets == right.numberSets && left.addressSets == right.addressSets
      && left.maps.map(\.path) == right.maps.map(\.path)
      && left.patterns == right.patterns && left.hashes == right.hashes
      && left.origins.map(\.name) == right.origins.map(\.name)
      && left.limits.map(\.name) == right.limits.map(\.name) && left.tags == right.tags
  }
}

/// A field that rules read or change.
struct FieldUse: Sendable, Equatable {
  /// Its name in lower case, as a constant text.
  var text: Int
  /// Its place in the table of known names; 0 if it is none.
  var known: UInt8
  /// Where edits are looked for before the request is: -1 where no rule changes the field.
  var overlay: Int
}

/// A regular expression.
struct Pattern: Sendable, Equatable {
  var source: [UInt8]
  var expression: RegularExpression

  static func == (left: Pattern, right: Pattern) -> Bool { left.source == right.source }
}

/// A variable that goes from the request's rules to the response's.
struct Carried: Sendable, Equatable {
  var register: UInt8
  var isText: Bool
}

/// What an explanation says before an instruction runs.
struct RuleStep: Sendable, Equatable {
  enum Kind: Sendable, Equatable {
    /// A condition, which is about to decide; its value is in the register.
    case condition
    /// A value that a comparison is about to look at.
    case operand
    /// An action, and its value if it has one.
    case action(hasValue: Bool)
  }
  var place: Int
  var kind: Kind
  var text: String
  var line: Int
  var register: UInt8
  var type: RuleType
}
