//! What calls of the known names make.

use super::super::super::super::error::WeightProblem;
use super::super::number::Number;
use super::globals::Global;
use super::machine::Machine;
use super::value::{Id, Storage, Tensor, Value};

/// Axes of a tensor: weights have four at most. (PyTorch allows 64.)
const MOST_AXES: usize = 16;

impl Machine<'_> {
    /// Calls a known name (the instructions REDUCE and NEWOBJ).
    pub(super) fn call(&mut self, callable: Id, arguments: Id) -> Result<(), WeightProblem> {
        let Value::Global(global) = *self.value(callable) else {
            return Err(self.mismatch("what is called is no function"));
        };
        let Value::Tuple(arguments) = self.value(arguments) else {
            return Err(self.mismatch("a call has no arguments"));
        };
        match (global, arguments.as_slice()) {
            (Global::Dictionary, arguments) => {
                let pairs = arguments.first().map(|&pairs| self.pairs(pairs)).transpose()?;
                let pairs = pairs.unwrap_or_default();
                self.count(pairs.len())?;
                self.push(Value::Dictionary(pairs))
            }
            (Global::Tensor, &[storage, offset, shape, strides, ..]) => {
                let tensor = self.tensor([storage, offset, shape, strides], None)?;
                self.count(1)?;
                self.push(Value::Tensor(Box::new(tensor)))
            }
            (Global::TypedTensor, &[storage, offset, shape, strides, _, _, number, ..]) => {
                let &Value::Global(Global::Type(number)) = self.value(number) else {
                    return Err(self.mismatch("a tensor's type is none"));
                };
                let tensor = self.tensor([storage, offset, shape, strides], Some(number))?;
                self.count(1)?;
                self.push(Value::Tensor(Box::new(tensor)))
            }
            (Global::Parameter, &[tensor, ..]) => match self.value(tensor) {
                Value::Tensor(_) => {
                    self.push_id(tensor);
                    Ok(())
                }
                _ => Err(self.mismatch("a parameter is made of what is no tensor")),
            },
            (Global::Plain, _) => self.push(Value::Other),
            _ => Err(self.mismatch("a call has other arguments than it needs")),
        }
    }

    /// The items of `OrderedDict([[key, value], …])`, as Python 2 pickles them; of `defaultdict(list)` none.
    fn pairs(&self, id: Id) -> Result<Vec<(Id, Id)>, WeightProblem> {
        let items = match self.value(id) {
            Value::List(items) => items,
            Value::Dictionary(items) => return Ok(items.clone()),
            _ => return Ok(Vec::new()),
        };
        let pair = |&item: &Id| match self.value(item) {
            Value::List(pair) | Value::Tuple(pair) => match pair.as_slice() {
                &[key, value] => Ok((key, value)),
                _ => Err(self.mismatch("an item of a dictionary is no pair")),
            },
            _ => Err(self.mismatch("an item of a dictionary is no pair")),
        };
        items.iter().map(pair).collect()
    }

    /// `_rebuild_tensor_v2(storage, offset, size, strides, …)`.
    fn tensor(
        &self,
        [storage, offset, shape, strides]: [Id; 4],
        number: Option<Number>,
    ) -> Result<Tensor, WeightProblem> {
        let Value::Storage(storage) = self.value(storage) else {
            return Err(self.mismatch("a tensor is made of what is no storage"));
        };
        let number = number
            .or(storage.number)
            .ok_or_else(|| self.mismatch("a tensor is made of an untyped storage without a type"))?;
        let (shape, strides) = (self.extents(shape)?, self.extents(strides)?);
        if shape.len() != strides.len() {
            return Err(self.mismatch("a tensor has other axes than strides"));
        }
        Ok(Tensor { storage: Storage::clone(storage), number, offset: self.size(offset)?, shape, strides })
    }

    fn extents(&self, id: Id) -> Result<Vec<usize>, WeightProblem> {
        match self.value(id) {
            Value::Tuple(extents) | Value::List(extents) if extents.len() <= MOST_AXES => {
                extents.iter().map(|&extent| self.size(extent)).collect()
            }
            _ => Err(self.mismatch("a shape is no tuple of a few integers")),
        }
    }

    /// An integer that is not negative.
    fn size(&self, id: Id) -> Result<usize, WeightProblem> {
        match *self.value(id) {
            Value::Integer(value) => usize::try_from(value)
                .map_err(|_| self.mismatch("an extent, a stride or an offset of a tensor is negative")),
            _ => Err(self
                .mismatch("an extent, a stride or an offset of a tensor is no number that can be addressed")),
        }
    }

    /// Persistent identifiers are torch's words for storages: ("storage", class, key, device, count), in legacy files
    /// with (key, start, count) of a view or None after them.
    pub(super) fn persistent(&mut self, identifier: Id) -> Result<(), WeightProblem> {
        let no_storage = "a persistent identifier names no storage";
        let Value::Tuple(items) = self.value(identifier) else {
            return Err(self.mismatch(no_storage));
        };
        let storage = match items.as_slice() {
            &[kind, class, key, _, count, ref rest @ ..] if self.is_text(kind, "storage") => {
                let (&Value::Global(Global::Storage(number)), Value::Text(key)) =
                    (self.value(class), self.value(key))
                else {
                    return Err(self.mismatch(no_storage));
                };
                let whole = Storage { number, key: key.clone(), count: self.size(count)?, start: 0 };
                match rest.first().map(|&view| self.value(view)) {
                    Some(Value::Tuple(view)) => self.view(&whole, view)?,
                    _ => whole,
                }
            }
            _ => return Err(self.mismatch(no_storage)),
        };
        self.count(1)?;
        self.push(Value::Storage(Box::new(storage)))
    }

    fn view(&self, whole: &Storage, view: &[Id]) -> Result<Storage, WeightProblem> {
        let &[_, start, count] = view else {
            return Err(self.mismatch("a view of a storage is no triple"));
        };
        let (start, count) = (self.size(start)?, self.size(count)?);
        match start.checked_add(count) {
            Some(end) if end <= whole.count => Ok(Storage { start, count, ..whole.clone() }),
            _ => Err(self.mismatch("a view of a storage goes beyond its end")),
        }
    }

    fn is_text(&self, id: Id, expected: &str) -> bool {
        match self.value(id) {
            Value::Text(span) => self.source.text(span).is_ok_and(|text| text == expected),
            _ => false,
        }
    }

    /// Why a name is refused.
    pub(super) fn refuse_global(&self, module: &str, name: &str) -> WeightProblem {
        if self.is_outermost() || module.starts_with("torch.nn.") || module.starts_with("torchvision.models")
        {
            return WeightProblem::Harmful(format!(
                "the file holds a whole object of class {module}.{name} and not its tensors alone, and no code of a file is \
                 run; load it where it was made and save its tensors: torch.save(model.state_dict(), FILE)"
            ));
        }
        WeightProblem::Harmful(format!(
            "the pickle uses {module}.{name}, which is not on the list of what tensors need, and no code of a file is run; \
             save the tensors alone: torch.save(model.state_dict(), FILE)"
        ))
    }
}
