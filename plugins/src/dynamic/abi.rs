//! The C interface of a dynamic library, and a safe way for authors in Rust to have it.
//!
//! It says what `include/trestle_plugin.h` says.

#![allow(unsafe_code, reason = "what crosses this border is C: pointers and lengths")]

use std::ffi::{CStr, c_char};
use std::panic::{self, AssertUnwindSafe};
use std::slice;

/// `TRESTLE1`, read as a little-endian number.
pub const MAGIC: u64 = u64::from_le_bytes(*b"TRESTLE1");
/// The version whose changes break.
pub const MAJOR: u16 = 1;
/// The version whose changes add.
pub const MINOR: u16 = 0;
/// What the library exports.
pub const ENTRY: &CStr = c"trestle_plugin_v1";

/// The answer is JSON.
pub const ANSWERED: i32 = 0;
/// There is no such method.
pub const UNKNOWN: i32 = 1;
/// The answer is a text that says what went wrong.
pub const BROKEN: i32 = 2;

/// Bytes that the plugin allocates and frees.
#[repr(C)]
#[derive(Debug)]
pub struct Bytes {
    /// Where they begin.
    pub data: *mut u8,
    /// How many there are.
    pub length: usize,
}

/// What a library exports.
#[repr(C)]
#[derive(Debug)]
pub struct Plugin {
    /// [`MAGIC`].
    pub magic: u64,
    /// The size of this.
    pub size: u32,
    /// [`MAJOR`].
    pub major: u16,
    /// [`MINOR`].
    pub minor: u16,
    /// Answers one call.
    pub call: Option<unsafe extern "C" fn(*const c_char, *const u8, usize, *mut Bytes) -> i32>,
    /// Frees an answer.
    pub release: Option<unsafe extern "C" fn(*mut Bytes)>,
}

/// Answers one call by a function of Rust; a panic of its is an answer, too.
///
/// # Safety
/// The method ends with a NUL, the request has `length` bytes, and the answer may be written to.
pub unsafe fn answer(
    function: fn(&str, &[u8]) -> Option<Vec<u8>>,
    method: *const c_char,
    request: *const u8,
    length: usize,
    answer: *mut Bytes,
) -> i32 {
    // SAFETY: the caller's promise.
    let method = unsafe { CStr::from_ptr(method) }.to_string_lossy();
    let request = match request.is_null() {
        true => &[],
        // SAFETY: the caller's promise.
        false => unsafe { slice::from_raw_parts(request, length) },
    };
    let outcome = panic::catch_unwind(AssertUnwindSafe(|| function(&method, request)));
    let (status, body) = match outcome {
        Ok(Some(body)) => (ANSWERED, body),
        Ok(None) => (UNKNOWN, Vec::new()),
        Err(cause) => (BROKEN, format!("the plugin panicked: {}", told(cause.as_ref())).into_bytes()),
    };
    let body = body.into_boxed_slice();
    let bytes = Bytes { length: body.len(), data: Box::into_raw(body).cast() };
    // SAFETY: the caller's promise.
    unsafe { answer.write(bytes) };
    status
}

/// Frees what [`answer`] wrote.
///
/// # Safety
/// It is what [`answer`] wrote, and was not freed.
pub unsafe fn release(answer: *mut Bytes) {
    // SAFETY: the caller's promise: data and length are a boxed slice's.
    unsafe {
        let Bytes { data, length } = answer.read();
        drop(Box::from_raw(std::ptr::slice_from_raw_parts_mut(data, length)));
    }
}

fn told(cause: &(dyn std::any::Any + Send)) -> String {
    let text = cause.downcast_ref::<&str>().map(|text| (*text).to_owned());
    text.or_else(|| cause.downcast_ref::<String>().cloned()).unwrap_or_else(|| "it does not say why".to_owned())
}

/// Makes a dynamic library a plugin: `export_plugin!(answer);`, where `answer` is a
/// `fn(method: &str, request: &[u8]) -> Option<Vec<u8>>` that has `None` for methods it does not know.
///
/// The library has to be built with `panic = "unwind"`, which is what cargo does unless told otherwise.
#[macro_export]
macro_rules! export_plugin {
    ($answer:ident) => {
        #[doc(hidden)]
        #[allow(unsafe_code, reason = "the plugin's border is C")]
        mod trestle_plugin_border {
            use $crate::dynamic::abi;

            unsafe extern "C" fn call(
                method: *const ::std::ffi::c_char,
                request: *const u8,
                length: usize,
                answer: *mut abi::Bytes,
            ) -> i32 {
                // SAFETY: the border's own promise, as its header has it.
                unsafe { abi::answer(super::$answer, method, request, length, answer) }
            }

            unsafe extern "C" fn release(answer: *mut abi::Bytes) {
                // SAFETY: the border's own promise, as its header has it.
                unsafe { abi::release(answer) }
            }

            static PLUGIN: abi::Plugin = abi::Plugin {
                magic: abi::MAGIC,
                size: ::std::mem::size_of::<abi::Plugin>() as u32,
                major: abi::MAJOR,
                minor: abi::MINOR,
                call: Some(call),
                release: Some(release),
            };

            #[unsafe(no_mangle)]
            extern "C" fn trestle_plugin_v1() -> *const abi::Plugin {
                &PLUGIN
            }
        }
    };
}
