internal import CCryptoki

/// A template as the C interface wants it: one block of memory with the CK_ATTRIBUTE array first and the values behind it.
struct Template: ~Copyable {
    private let block: UnsafeMutableRawPointer
    let attributes: UnsafeMutablePointer<CK_ATTRIBUTE>
    let count: Int

    /// Every value starts at a multiple of this: enough for CK_ULONG and for pointers.
    private static let alignment = MemoryLayout<CK_ATTRIBUTE>.alignment

    /// Lays out `list`, behind room for `leading` attributes that the caller fills in.
    init(_ list: [Attribute], leading: Int = 0) {
        count = list.count + leading
        let size = count * MemoryLayout<CK_ATTRIBUTE>.stride + list.reduce(0) { $0 + Template.size(of: $1.value) }
        block = UnsafeMutableRawPointer.allocate(byteCount: max(size, 1), alignment: Template.alignment)
        attributes = block.bindMemory(to: CK_ATTRIBUTE.self, capacity: count)
        var end = block + count * MemoryLayout<CK_ATTRIBUTE>.stride
        Template.write(list, to: attributes + leading, values: &end)
    }

    deinit { block.deallocate() }

    /// The bytes that the value takes behind the array, padding included.
    private static func size(of value: Attribute.Value) -> Int {
        let bytes =
            switch value {
            case .bool: 1
            case .ulong: MemoryLayout<UInt>.size
            case .bytes(let bytes): bytes.count
            case .mechanisms(let types): types.count * MemoryLayout<UInt>.size
            case .template(let list):
                list.reduce(list.count * MemoryLayout<CK_ATTRIBUTE>.stride) { $0 + size(of: $1.value) }
            }
        return (bytes + alignment - 1) / alignment * alignment
    }

    /// Writes `list` to the array at `attributes` and its values from `end` on, which moves behind them.
    private static func write(
        _ list: [Attribute], to attributes: UnsafeMutablePointer<CK_ATTRIBUTE>, values end: inout UnsafeMutableRawPointer
    ) {
        for (index, attribute) in list.enumerated() {
            let place = end
            let length: Int
            switch attribute.value {
            case .bool(let flag):
                place.storeBytes(of: flag ? 1 : 0, as: UInt8.self)
                length = 1
                end += size(of: attribute.value)
            case .ulong(let number):
                place.storeBytes(of: number, as: UInt.self)
                length = MemoryLayout<UInt>.size
                end += size(of: attribute.value)
            case .bytes(let bytes):
                bytes.withUnsafeBytes { if let source = $0.baseAddress { place.copyMemory(from: source, byteCount: $0.count) } }
                length = bytes.count
                end += size(of: attribute.value)
            case .mechanisms(let types):
                for (offset, type) in types.enumerated() {
                    place.storeBytes(of: type.rawValue, toByteOffset: offset * MemoryLayout<UInt>.size, as: UInt.self)
                }
                length = types.count * MemoryLayout<UInt>.size
                end += size(of: attribute.value)
            case .template(let nested):
                length = nested.count * MemoryLayout<CK_ATTRIBUTE>.stride
                end += length
                write(nested, to: place.bindMemory(to: CK_ATTRIBUTE.self, capacity: nested.count), values: &end)
            }
            // An empty value is (NULL, 0).
            attributes[index] = CK_ATTRIBUTE(
                type: attribute.type.rawValue, pValue: length == 0 ? nil : place, ulValueLen: UInt(length))
        }
    }
}
