/// One setting of the instance; the reply to settings-set.
public struct SettingRecord: WireMessage {
    public static var schema: [FieldEntry] { Schema.settingRecord }
    /// Its name.
    public var name: String
    /// Its value.
    public var value: UInt64
    /// Its value when nobody has set it.
    public var defaultValue: UInt64
    /// The least value.
    public var least: UInt64
    /// The greatest value.
    public var most: UInt64
    /// The value's unit: `s` for seconds, empty for a count.
    public var unit: String
    /// What it decides.
    public var meaning: String
    /// When it was set, in milliseconds since 1970.
    public var updated: UInt64?
    /// Who set it.
    public var updatedBy: String?

    /// A record of these values.
    public init(
        name: String, value: UInt64, defaultValue: UInt64, least: UInt64, most: UInt64, unit: String, meaning: String,
        updated: UInt64? = nil, updatedBy: String? = nil
    ) {
        self.name = name
        self.value = value
        self.defaultValue = defaultValue
        self.least = least
        self.most = most
        self.unit = unit
        self.meaning = meaning
        self.updated = updated
        self.updatedBy = updatedBy
    }

    public init(_ fields: FieldMap, _ bytes: RawSpan) throws(Refusal) {
        name = fields.text(1, bytes) ?? ""
        value = fields.u64(2, bytes) ?? 0
        defaultValue = fields.u64(3, bytes) ?? 0
        least = fields.u64(4, bytes) ?? 0
        most = fields.u64(5, bytes) ?? 0
        unit = fields.text(6, bytes) ?? ""
        meaning = fields.text(7, bytes) ?? ""
        updated = fields.u64(8, bytes)
        updatedBy = fields.text(9, bytes)
    }

    public func encode(to writer: inout BodyWriter, source: RawSpan) {
        writer.text(1, name)
        writer.u64(2, value)
        writer.u64(3, defaultValue)
        writer.u64(4, least)
        writer.u64(5, most)
        writer.text(6, unit)
        writer.text(7, meaning)
        writer.u64(8, updated)
        writer.text(9, updatedBy)
    }
}

/// The reply to settings-show.
public struct SettingsReply: WireMessage {
    public static var schema: [FieldEntry] { Schema.settingsReply }
    /// All settings.
    public var settings: [SettingRecord]

    /// A reply of these values.
    public init(settings: [SettingRecord]) {
        self.settings = settings
    }

    public init(_ fields: FieldMap, _ bytes: RawSpan) throws(Refusal) {
        settings = try fields.items(1, bytes, as: SettingRecord.self)
    }

    public func encode(to writer: inout BodyWriter, source: RawSpan) {
        writer.items(1, settings, source: source)
    }
}

/// A request to change a setting.
public struct SettingSetRequest: WireMessage {
    public static var schema: [FieldEntry] { Schema.settingSetRequest }
    /// The setting's name.
    public var name: String
    /// The operation's id, made by the client.
    public var operation: OperationID
    /// The new value.
    public var value: UInt64

    /// A request of these values.
    public init(name: String, operation: OperationID, value: UInt64) {
        self.name = name
        self.operation = operation
        self.value = value
    }

    public init(_ fields: FieldMap, _ bytes: RawSpan) throws(Refusal) {
        name = fields.text(1, bytes) ?? ""
        operation = fields.id(2, bytes) ?? .zero
        value = fields.u64(3, bytes) ?? 0
    }

    public func encode(to writer: inout BodyWriter, source: RawSpan) {
        writer.text(1, name)
        writer.id(2, operation)
        writer.u64(3, value)
    }
}
