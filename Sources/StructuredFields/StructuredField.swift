// Structured field values (RFC 9651): what they are made of. Off the hit path: values own their bytes.
//
//     Item        bare item with parameters                 a;q=1
//     Inner list  items in parentheses, with parameters     (a b);q=1
//     List        items and inner lists, by commas          a, (b c)
//     Dictionary  keys with items or inner lists            a=1, b, c=(d e)
//
// Why a parser of our own, where apple/swift-http-structured-headers exists: 300 lines over the bytes
// as they lie, with limits that an origin cannot pass, against a dependency that wants the value copied
// into a collection first. It passes all the published vectors for parsing.

/// A value without parameters (RFC 9651 §3.3).
package enum BareItem: Sendable, Equatable {
  /// An integer of at most 15 digits (§3.3.1).
  case integer(Int64)
  /// A decimal, in thousandths (§3.3.2).
  case decimal(thousandths: Int64)
  /// A string, escapes resolved (§3.3.3).
  case string([UInt8])
  /// A token (§3.3.4).
  case token([UInt8])
  /// A byte sequence, decoded (§3.3.5).
  case binary([UInt8])
  /// A boolean (§3.3.6).
  case boolean(Bool)
  /// A date in seconds since the epoch (§3.3.7).
  case date(Int64)
  /// A display string: UTF-8, escapes resolved (§3.3.8).
  case displayString([UInt8])
}

/// A key with a value: a parameter, or a dictionary's member.
package struct Keyed<Value: Sendable & Equatable>: Sendable, Equatable {
  /// The key.
  package let key: [UInt8]
  /// The value.
  package var value: Value

  /// A key with a value.
  package init(key: [UInt8], value: Value) {
    self.key = key
    self.value = value
  }
}

/// Parameters, each key once, in order (§3.1.2).
package typealias Parameters = [Keyed<BareItem>]

/// A bare item with its parameters (§3.3).
package struct Item: Sendable, Equatable {
  /// The value.
  package let bare: BareItem
  /// Its parameters.
  package let parameters: Parameters

  /// An item.
  package init(_ bare: BareItem, parameters: Parameters = []) {
    self.bare = bare
    self.parameters = parameters
  }
}

/// A member of a list or a dictionary (§3.1, §3.2).
package enum Member: Sendable, Equatable {
  /// An item.
  case item(Item)
  /// An inner list (§3.1.1).
  case innerList([Item], parameters: Parameters)
}

/// Why a value is no structured field of its kind; the field is then to be ignored as a whole
/// (RFC 9651 §4.2).
package enum StructuredFieldError: Error, Sendable, Equatable {
  /// It does not follow the grammar.
  case syntax
  /// It has more members or parameters than the limits; the RFC asks for 1024 members, 256 items of
  /// an inner list and 256 parameters, and that is what is read.
  case tooLong
}
