//! The samples' bodies.

use std::fmt;

use jiff::tz;
use serde::{
    Deserialize, Deserializer,
    de::{MapAccess, Visitor},
};
use serde_json::{json, value::RawValue};

use super::Sample;
use crate::clock::Timestamp;

/// The body of a sample, unsigned.
pub(super) fn of(sample: Sample, now: Timestamp, unique: u128) -> Vec<u8> {
    let id = uuid(unique);
    // As the senders number their objects: small.
    let number = unique % 1_000_000;
    let seconds = now.as_seconds();
    match sample {
        Sample::Kladana => {
            kladana(now, unique, &[("customerorder", json!({"updatedFields": ["state"], "action": "UPDATE"}))])
        }
        Sample::KladanaSeveral => {
            let update = || ("product", json!({"updatedFields": ["salePrices"], "action": "UPDATE"}));
            kladana(now, unique, &[update(), update(), update()])
        }
        Sample::KladanaStock => {
            let since = moscow(Timestamp::from_seconds(seconds - 300));
            format!(
                "{{\"accountId\":\"{ACCOUNT}\",\"stockType\":\"stock\",\"reportType\":\"all\",\"reportUrl\":\
                 \"https://api.kladana.com/api/remap/1.2/report/stock/all/current?changedSince={since}\"}}"
            )
        }
        Sample::Quable => format!(
            r#"{{"uuid":"{id}","code":"document.update","links":[{{"rel":"self","href":"/events/{id}"}}],"created_at":"{}","created_by":"jane_roe","resource":{{"code":"sku_blue_shirt","type":"document","document_type_code":"product","links":[{{"rel":"self","href":"https://demo.quable.com/api/documents/sku_blue_shirt"}}],"locales":{{"updated":["fr_FR"],"inherited":["en_GB","fr_FR"]}},"updated_items":[{{"type":"field","code":"color"}}]}},"process":{{"correlationId":"A4548C0354f48954x-000001"}}}}"#,
            Timestamp::from_seconds(seconds).to_string().replace(".000Z", "+00:00"),
        ),
        Sample::Poster => format!(
            r#"{{"account":"demo-cafe","object":"stock","object_id":{number},"action":"changed","time":"{seconds}","verify":"","account_number":"401122","data":"{{\"type\":2,\"element_id\":{number},\"storage_id\":1,\"value_relative\":-1,\"value_absolute\":23.5}}"}}"#
        ),
        Sample::PosterTest => format!(
            r#"{{"account":"demo-cafe","object":"transaction","object_id":"1","action":"test","time":"{seconds}","verify":""}}"#
        ),
        Sample::PosterTestForm => format!(
            "url=https%3A%2F%2Fhooks.example.com%2Fin%2Fposter&data%5Baccount%5D=demo-cafe&\
             data%5Bobject%5D=transaction&data%5Bobject_id%5D=1&data%5Baction%5D=test&data%5Btime%5D={seconds}"
        ),
        Sample::Shareactor => format!(
            r#"{{"_id":{{"$oid":"{}"}},"kind":"order.created","created":{{"$date":{millis}}},"company":{{"$oid":"57ee9c71d76d431f8511ffff"}},"data":{{"object_type":"order","kind":"order.created","object":{{"_id":{{"$oid":"65a1f00d0b1e2c3d4e5f6099"}},"human_id":"7KQ2ZD","order_status":"CREATED","currency":"NOK","total_amount":349.0,"created":{{"$date":{millis}}}}}}},"author":{{"_id":{{"$oid":"57ee9c72d76d431f8511eeee"}},"_cls":"User","first_name":"Kari"}}}}"#,
            object_id(unique),
            millis = now.as_millis(),
        ),
        Sample::ShareactorVerify => String::new(),
        Sample::Github => format!(
            r#"{{"ref":"refs/heads/main","after":"{unique:040x}","repository":{{"full_name":"demo/doorbell"}},"pusher":{{"name":"jane-roe"}}}}"#
        ),
        Sample::Stripe => format!(
            r#"{{"id":"evt_{}","object":"event","created":{seconds},"type":"invoice.paid","data":{{"object":{{"id":"in_demo_1","amount_paid":4200}}}}}}"#,
            object_id(unique)
        ),
        Sample::Shopify => {
            format!(r##"{{"id":{},"name":"#{number}","total_price":"398.00"}}"##, 820_982_911_000_000_000 + number)
        }
        Sample::Slack => format!(
            r#"{{"type":"event_callback","team_id":"T1DC2JH3J","event_id":"Ev{}","event_time":{seconds},"event":{{"type":"message","channel":"C2147483705","user":"U2147483697","text":"Hello","ts":"{seconds}.000200"}}}}"#,
            object_id(unique).to_uppercase()
        ),
        Sample::Svix | Sample::StandardWebhooks => format!(
            r#"{{"type":"invoice.paid","timestamp":"{now}","data":{{"id":"in_demo_1","amount_paid":4200}}}}"#
        ),
    }
    .into_bytes()
}

const ACCOUNT: &str = "3c1d6a52-7b40-11ee-0a80-0f4400021c77";

fn kladana(now: Timestamp, unique: u128, changes: &[(&str, serde_json::Value)]) -> String {
    let events: Vec<String> = (0..)
        .zip(changes)
        .map(|(at, (entity, change))| {
            let href = format!(
                "https://api.kladana.com/api/remap/1.2/entity/{entity}/{}",
                uuid(unique ^ (at << 64))
            );
            let change = change.to_string();
            let change = change.trim_start_matches('{').trim_end_matches('}');
            format!(r#"{{"meta":{{"type":"{entity}","href":"{href}"}},{change},"accountId":"{ACCOUNT}"}}"#)
        })
        .collect();
    format!(
        r#"{{"auditContext":{{"meta":{{"type":"audit","href":"https://api.kladana.com/api/remap/1.2/audit/{}"}},"uid":"manager@democafe","moment":"{}"}},"events":[{}]}}"#,
        uuid(!unique),
        moscow(now),
        events.join(",")
    )
}

/// A number as a UUID of version 4.
pub(super) fn uuid(unique: u128) -> String {
    // Neighbouring numbers shall not look alike.
    let mixed = unique.wrapping_mul(0x9e37_79b9_7f4a_7c15_f39c_c060_5ced_c835) ^ (unique >> 64);
    let bits = mixed & !(0xf << 76) & !(0b11 << 62) | (4 << 76) | (0b10 << 62);
    let hex = format!("{bits:032x}");
    format!("{}-{}-{}-{}-{}", &hex[..8], &hex[8..12], &hex[12..16], &hex[16..20], &hex[20..])
}

/// The same in 24 hexadecimal digits.
fn object_id(unique: u128) -> String {
    uuid(unique).replace('-', "").chars().take(24).collect()
}

fn moscow(at: Timestamp) -> String {
    jiff::Timestamp::from_millisecond(at.as_millis())
        .map(|at| tz::Offset::constant(3).to_datetime(at).strftime("%Y-%m-%d %H:%M:%S").to_string())
        .unwrap_or_default()
}

/// The body with this as its `verify`, in place of one that may be there; all else as it stands.
pub(super) fn with_verify(body: &[u8], verify: &str) -> Result<Vec<u8>, String> {
    let text = std::str::from_utf8(body).map_err(|error| error.to_string())?;
    if text.trim_start().starts_with('{') {
        let Members(members) = serde_json::from_str(text).map_err(|error| error.to_string())?;
        let mut members: Vec<String> = members
            .into_iter()
            .filter(|(name, _)| name != "verify")
            .map(|(name, value)| format!("{}:{}", json!(name), value.get()))
            .collect();
        members.push(format!(r#""verify":"{verify}""#));
        return Ok(format!("{{{}}}", members.join(",")).into_bytes());
    }
    let pairs: Vec<_> = form_urlencoded::parse(body).collect();
    let nested = pairs.iter().any(|(name, _)| name == "data[account]");
    let name = if nested { "data[verify]" } else { "verify" };
    let mut form = form_urlencoded::Serializer::new(String::new());
    form.extend_pairs(pairs.iter().filter(|(existing, _)| existing != name)).append_pair(name, verify);
    Ok(form.finish().into_bytes())
}

/// An object's members in their order, values as they stand.
struct Members<'a>(Vec<(String, &'a RawValue)>);

impl<'de> Deserialize<'de> for Members<'de> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct InOrder;
        impl<'de> Visitor<'de> for InOrder {
            type Value = Members<'de>;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("an object")
            }

            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Self::Value, A::Error> {
                let mut members = Vec::new();
                while let Some(member) = map.next_entry()? {
                    members.push(member);
                }
                Ok(Members(members))
            }
        }
        deserializer.deserialize_map(InOrder)
    }
}
